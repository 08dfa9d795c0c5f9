"""Who may launch when, on a GPU that several share.

The driver's own time slicing is an even share between busy processes and needs nothing of us. Where an admin asks
for more, a workload of a software share gets a turn: a part of every 100 ms in which its launches pass. Approximate,
for what was launched in a turn may run on after it: the turns bound launches, not kernels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from nodeagent.contract.allocation import GpuProcess

WHOLE = 1000


class ComputePolicy(StrEnum):
    """How a GPU's time is divided.

    even     by the driver
    weights  busy workloads get turns in proportion to their shares; one that is busy alone has no limit
    caps     every workload gets no more than its share, even of an idle GPU
    """

    EVEN = "even"
    WEIGHTS = "weights"
    CAPS = "caps"


class TimeSlice(NamedTuple):
    """Start and length in thousandths of the window; length 0: at any time."""

    start: int
    length: int


ANY_TIME = TimeSlice(0, 0)


def time_slices(policy: ComputePolicy, portions: Mapping[str, float], busy: Collection[str]) -> dict[str, TimeSlice]:
    """Each claim's turn on one GPU, one after another. `portions`: of the GPU, by claim; `busy`: who launches now."""
    free = dict.fromkeys(portions, ANY_TIME)
    bound = {claim: part for claim, part in sorted(portions.items()) if policy is ComputePolicy.CAPS or claim in busy}
    if policy is ComputePolicy.EVEN or (policy is ComputePolicy.WEIGHTS and len(bound) < 2):
        return free
    whole = max(1.0, sum(bound.values())) if policy is ComputePolicy.CAPS else sum(bound.values())
    start = 0.0
    for claim, part in bound.items():
        end = start + WHOLE * part / whole
        first = int(round(start, 6))
        free[claim] = TimeSlice(first, max(1, int(round(end, 6)) - first))
        start = end
    return free


def busy(processes: Iterable[GpuProcess], gpu: str, launching: Collection[int] | None) -> set[str]:
    """The claims that launch on a GPU; where the driver does not tell (None), all that are on it."""
    return {
        process.claim
        for process in processes
        if process.gpu == gpu and process.claim and (launching is None or process.pid in launching)
    }
