"""Who may launch kernels when, on a GPU that several claims share.

The driver's own time slicing divides the time evenly between busy processes. Under another policy each claim with a
software share gets a time slice: a part of every 100 ms in which its launches pass. The division is approximate:
slices limit launches, and a kernel may run on after its slice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from nodeagent.contract.allocation import GpuProcess

PERIOD = 1000
"""The 100 ms, in the unit of time slices."""


class ComputePolicy(StrEnum):
    """How a GPU's time is divided.

    even     by the driver
    weights  busy claims get slices in proportion to their shares; one that is busy alone has no limit
    caps     every claim gets no more than its share, even of an idle GPU
    """

    EVEN = "even"
    WEIGHTS = "weights"
    CAPS = "caps"


class TimeSlice(NamedTuple):
    """Start and length in thousandths of the period; length 0: at any time."""

    start: int
    length: int


ANY_TIME = TimeSlice(0, 0)


def time_slices(
    policy: ComputePolicy, portions: Mapping[str, float], launching: Collection[str]
) -> dict[str, TimeSlice]:
    """Each claim's slice on one GPU, one after another.

    portions   of the GPU, 0 to 1, by claim
    launching  the claims that launch now
    """
    slices = dict.fromkeys(portions, ANY_TIME)
    limited = {
        claim: part for claim, part in sorted(portions.items()) if policy is ComputePolicy.CAPS or claim in launching
    }
    if policy is ComputePolicy.EVEN or (policy is ComputePolicy.WEIGHTS and len(limited) < 2):
        return slices
    whole = max(1.0, sum(limited.values())) if policy is ComputePolicy.CAPS else sum(limited.values())
    start = 0.0
    for claim, part in limited.items():
        end = start + PERIOD * part / whole
        first = int(round(start, 6))
        slices[claim] = TimeSlice(first, max(1, int(round(end, 6)) - first))
        start = end
    return slices


def launching_claims(processes: Iterable[GpuProcess], gpu: str, launching: Collection[int] | None) -> set[str]:
    """The claims of the pids that launch on a GPU; where the driver does not say which do (None), all on it."""
    return {
        process.claim
        for process in processes
        if process.gpu == gpu and process.claim and (launching is None or process.pid in launching)
    }
