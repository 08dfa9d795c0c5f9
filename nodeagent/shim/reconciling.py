"""Compares a workload's accounts with what the driver reports of its processes.

The libraries count what programs allocate; what a context takes besides (the driver's own memory, loaded kernels) is
measured here and corrected. What is left unexplained is the drift.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.shim.region import Holder, ProcessUsage


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One workload on one GPU.

    context   bytes that one of its contexts takes, as measured; None: nothing to measure
    drift     bytes that the driver sees beyond the corrected accounts; negative: the accounts hold more
    unbound   host pids of its processes that use the GPU without the library
    """

    context: int | None
    drift: int
    unbound: tuple[int, ...]


def reconcile(accounts: Mapping[int, ProcessUsage], used: Mapping[int, int]) -> Reconciliation:
    """What accounts and driver say of one workload on one GPU.

    accounts, used  by host pid; used in bytes, as the driver reports them. Processes of one moment may be in one alone
    """
    both = [(accounts[pid], used[pid]) for pid in accounts.keys() & used.keys() if accounts[pid].contexts]
    measured = [max(0, real - account.memory) // account.contexts for account, real in both]
    context = int(statistics.median(measured)) if measured else None
    drift = sum(real - account.memory - account.contexts * (context or 0) for account, real in both)
    return Reconciliation(context, drift, tuple(sorted(used.keys() - accounts.keys())))


def by_host_pid(holders: Collection[Holder], gpu: str, pids: Collection[int]) -> dict[int, ProcessUsage]:
    """The accounts of those host pids that are holders, each known by its pid namespace and its pid there."""
    known = {(holder.pid_namespace, holder.pid): holder.gpus.get(gpu, ProcessUsage(0, 0)) for holder in holders}
    found = {}
    for pid in pids:
        account = known.get(_identity(pid))
        if account is not None:
            found[pid] = account
    return found


def _identity(pid: int) -> tuple[int, int]:
    """Pid namespace and pid in it; zeros where the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        namespace = os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return 0, 0
    inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
    return namespace, int(inner)
