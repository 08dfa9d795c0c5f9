"""The machine under the agent: its boot, and whose a process is."""

from __future__ import annotations

import contextlib
from pathlib import Path

from nodeagent.contract import environment

_DEPTH = 16  # a process with a scrubbed environment belongs to the nearest ancestor that has one


def claims_at_work() -> frozenset[str]:
    """Uids of the claims that a process of this host runs for, by the processes' own environments."""
    wanted = f"{environment.CLAIM}=".encode()
    found: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            variables = path.read_bytes().split(b"\0")
            found.update(v[len(wanted) :].decode(errors="replace") for v in variables if v.startswith(wanted))
    return frozenset(found)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def claim_of(pid: int) -> str | None:
    """The uid of the claim that a process runs for: its environment's, or an ancestor's."""
    wanted = f"{environment.CLAIM}=".encode()
    for _ in range(_DEPTH):
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        for variable in variables:
            if variable.startswith(wanted):
                return variable[len(wanted) :].decode(errors="replace") or None
        pid = int(stat[stat.rindex(b")") + 2 :].split()[1])
        if pid <= 1:
            return None
    return None
