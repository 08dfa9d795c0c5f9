"""Finds processes that use more GPU memory than their claim's share, or a GPU that their claim has no share of.

A software share is cooperative: a program that goes around its limit is found here, by what the driver says of
each process. It is reported, or stopped where the policy says so. A process that belongs to no claim is reported
and never stopped.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from nodeagent.contract.allocation import GpuProcess, NodeReport
from solver.model.cluster import Gpu


class WatchdogPolicy(StrEnum):
    """What becomes of a process that oversteps: it is reported, or also killed."""

    REPORT = "report"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Offence:
    """A claim's processes on one GPU beyond its share. `pid`: the one with the most memory."""

    gpu: str
    claim: str | None
    pid: int
    text: str


def offences(report: NodeReport, tolerance_mib: int, tolerance_part: float) -> list[Offence]:
    """Every offence in a report.

    tolerance_mib, tolerance_part  of a share, the greater one counts: what the driver adds to a process's memory
    """
    found = []
    for gpu in report.gpus:
        inside = [p for p in report.processes if p.gpu == gpu.uuid]
        found += list(_strays(gpu, inside))
        for part in gpu.parts:
            mine = [p for p in inside if p.claim == part.claim]
            used = sum(p.memory_mib for p in mine)
            if used > part.memory_mib + max(tolerance_mib, tolerance_part * part.memory_mib):
                pid = max(mine, key=lambda p: p.memory_mib).pid
                text = f"uses {used} MiB of its {part.memory_mib} MiB on GPU {gpu.index}, most of it process {pid}"
                found.append(Offence(gpu.uuid, part.claim, pid, text))
    return found


def _strays(gpu: Gpu, processes: list[GpuProcess]) -> Iterator[Offence]:
    """Processes where their claim has no share, or that belong to no claim on an allocated GPU."""
    sharing = {gpu.held_by, *(part.claim for part in gpu.parts)}
    holders = {i.uuid: i.claim for i in gpu.instances}
    for process in processes:
        allowed = {holders.get(process.instance)} if process.instance else sharing
        if process.claim is None and allowed - {None}:
            text = f"process {process.pid} belongs to no claim and uses {process.memory_mib} MiB of GPU {gpu.index}"
            yield Offence(gpu.uuid, None, process.pid, text)
        elif process.claim is not None and process.claim not in allowed:
            text = f"process {process.pid} uses {process.memory_mib} MiB of GPU {gpu.index}, where it has no share"
            yield Offence(gpu.uuid, process.claim, process.pid, text)


def stop(offence: Offence, claim_of: Callable[[int], str | None]) -> bool:
    """Kill the process, unless its pid was given to another one; whether it was killed: it may not be ours to kill."""
    try:
        handle = os.pidfd_open(offence.pid)
    except OSError:
        return False
    try:
        if claim_of(offence.pid) != offence.claim:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


class Watchdog:
    """An offence counts when two checks in a row find it."""

    def __init__(
        self,
        policy: WatchdogPolicy,
        claim_of: Callable[[int], str | None],
        *,
        tolerance_mib: int = 64,
        tolerance_part: float = 0.03,
    ) -> None:
        self._policy, self._claim_of = policy, claim_of
        self._tolerance = (tolerance_mib, tolerance_part)
        self._suspects: set[tuple[str, str | None, int]] = set()

    def check(self, report: NodeReport) -> list[tuple[Offence, bool]]:
        """The offences that count, and whether the process was stopped."""
        found = offences(report, *self._tolerance)
        lasting = [o for o in found if (o.gpu, o.claim, o.pid) in self._suspects]
        self._suspects = {(o.gpu, o.claim, o.pid) for o in found}
        stops = self._policy is WatchdogPolicy.STOP
        return [(o, stops and o.claim is not None and stop(o, self._claim_of)) for o in lasting]
