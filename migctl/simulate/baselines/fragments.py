"""What FGD calls fragmentation: the free part of a GPU that a typical request could not use.

Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
USENIX ATC 2023, section 4: for each kind of request what of the free GPU is of no use to it, by how often
that kind arrives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.gpu_tables.tables import Table

TYPICAL = 0.95
"""The part of all requests that the typical kinds make up."""
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RequestKind:
    """Requests of one size: CPU and memory of the host, and `need` millionths of each of `devices` GPUs."""

    cpu: int
    memory: int
    devices: int
    need: int


class Fragments:
    """The fragmentation of nodes without MIG, for what is typical among these requests."""

    def __init__(self, requested: Iterable[RequestKind]) -> None:
        counts = Counter(requested).most_common()
        total, seen, typical = sum(count for _, count in counts), 0, list[tuple[RequestKind, int]]()
        for kind, count in counts:
            if seen < TYPICAL * total:
                typical.append((kind, count))
            seen += count
        self._often = np.array([count for _, count in typical]) / max(1, sum(count for _, count in typical))
        self._cpu, self._memory, self._devices, self._need = (
            np.array([getattr(kind, name) for kind, _ in typical]) for name in ("cpu", "memory", "devices", "need")
        )

    def of(self, cpu: Integers, memory: Integers, gpus: Integers) -> NDArray[np.float64]:
        """(n,) GPUs of no use, for nodes with so much free: (n,) CPU, (n,) memory, (n, GPUs) millionths of each."""
        useful = gpus[:, None, :] >= self._need[None, :, None]
        runs = (useful.sum(axis=2) >= self._devices) & (cpu[:, None] >= self._cpu) & (memory[:, None] >= self._memory)
        free = np.maximum(gpus, 0)
        wasted = free.sum(axis=1)[:, None] - np.where(runs, (free[:, None, :] * useful).sum(axis=2), 0)
        found: NDArray[np.float64] = wasted @ self._often
        return found


def unusable_units(model: Table, demand: Mapping[str, float], mask: int) -> float:
    """Of a MIG GPU whose units of the mask are taken: free units that no free slot of a profile covers, on average."""
    free = model.model.full_mask & ~mask
    return sum(often * (free & ~_reach(model, profile, mask)).bit_count() for profile, often in demand.items())


def _reach(model: Table, profile: str, mask: int) -> int:
    """The units that the free slots of a profile cover."""
    reach = 0
    for slot in model.by_profile.get(profile, ()):
        if not slot.mask & mask:
            reach |= slot.mask
    return reach
