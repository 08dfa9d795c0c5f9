"""Which claim a process belongs to: the only module that decides it.

A claim's processes are started with its uid in their environment (environment.CLAIM).
"""

from __future__ import annotations

from nodeagent import procfs
from nodeagent.contract import environment

_DEPTH = 16  # a process with a scrubbed environment belongs to the nearest ancestor that has one


def claim_of(pid: int) -> str | None:
    """The uid of the claim that a process runs for: its environment's, or an ancestor's."""
    for _ in range(_DEPTH):
        try:
            claim, parent = procfs.variable(pid, environment.CLAIM), procfs.parent(pid)
        except OSError:
            return None
        if claim is not None:
            return claim or None
        if parent <= 1:
            return None
        pid = parent
    return None


def started_for(pid: int) -> str | None:
    """The uid of the claim in a live process's own environment, whoever its ancestors are."""
    try:
        return procfs.variable(pid, environment.CLAIM)
    except OSError:
        return None


def claims_with_processes() -> frozenset[str]:
    """Uids of the claims that a process of this host was started for."""
    return frozenset(filter(None, map(started_for, procfs.pids())))
