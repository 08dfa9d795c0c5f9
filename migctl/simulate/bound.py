"""What a cluster that could re-pack for free would admit: every request that fits after moving all others, at no cost.

Only counts matter then: instances n of the profiles fit on G equal GPUs when n is covered by G layouts.
A price for each profile such that no layout is worth more than 1 proves that they do not fit when the
instances together are worth more than G. All prices that matter are the corners of the polytope
{u >= 0: u . p <= 1 for every layout p}; they are listed once per model. The bound refuses only with such
a proof, so it admits all that any re-packing could hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from migctl.simulate.events import Admission
from migctl.simulate.fleet import SimulatedFleet
from solver.gpu_tables.layouts import layouts_of
from solver.gpu_tables.tables import table
from solver.model.demand import MigProfile, Request
from solver.model.geometry import GpuModel

Prices = NDArray[np.float64]
EPSILON = 1e-9


class Repacking:
    """A fleet of one MIG model that re-packs for free; gives no placements."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        (model,) = fleet.models.values()
        self._gpus = len(fleet.gpus)
        self.profiles = {profile.name: number for number, profile in enumerate(table(model).usual)}
        self._prices = prices(model)
        self._worth = np.zeros(len(self._prices))
        self._holders: dict[str, int] = {}

    def admit(self, request: Request, now: float) -> Admission | None:
        assert isinstance(request.demand, MigProfile)
        profile = self.profiles[request.demand.profile]
        worth = self._worth + self._prices[:, profile]
        if np.any(worth > self._gpus + EPSILON):
            return None
        self._worth, self._holders[request.claim] = worth, profile
        return Admission()

    def release(self, claim: str) -> None:
        self._worth = self._worth - self._prices[:, self._holders.pop(claim)]


class Pooling:
    """A fleet without MIG as one large node: admits what fits into the sum of free GPUs, CPU and memory."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        gpus = float(len(fleet.gpus))
        cpu, memory = ([node.cpu_milli for node in fleet.nodes], [node.memory_mib for node in fleet.nodes])
        self._size, self._free = fleet.size, np.array([gpus, _sum(cpu), _sum(memory)])
        self._holders: dict[str, NDArray[np.float64]] = {}

    def admit(self, request: Request, now: float) -> Admission | None:
        takes = np.array([self._size(request.demand).compute, request.cpu_milli, request.memory_mib])
        if np.any(takes > self._free + EPSILON):
            return None
        self._free, self._holders[request.claim] = self._free - takes, takes
        return Admission()

    def release(self, claim: str) -> None:
        self._free = self._free + self._holders.pop(claim)


def _sum(free: Iterable[int | None]) -> float:
    """Infinite where it is not counted on some node."""
    return sum(math.inf if amount is None else amount for amount in free)


@cache
def prices(model: GpuModel) -> Prices:
    """(corners, plain profiles): every corner of the prices under which no layout is worth more than a GPU."""
    found = layouts_of(model)
    plain = [found.profiles.index(profile.name) for profile in table(model).usual]
    others = [i for i in range(len(found.profiles)) if i not in plain]
    alone = found.multisets[(found.multisets[:, others] == 0).all(axis=1)][:, plain]
    maximal = [p for p in alone if not any((q >= p).all() and (q > p).any() for q in alone)]
    bounds = np.vstack([np.array(maximal, dtype=float), -np.eye(len(plain))])
    limits = np.concatenate([np.ones(len(maximal)), np.zeros(len(plain))])
    return _corners(bounds, limits)


def _corners(bounds: Prices, limits: Prices) -> Prices:
    """The corners of {u: bounds @ u <= limits}: where as many bounds as there are prices meet."""
    size = bounds.shape[1]
    chosen = np.array(list(combinations(range(len(bounds)), size)))
    planes, at = bounds[chosen], limits[chosen]
    regular = np.abs(np.linalg.det(planes)) > EPSILON
    meets = np.linalg.solve(planes[regular], at[regular][..., None])[..., 0]
    inside = meets[(meets @ bounds.T <= limits + EPSILON).all(axis=1)]
    corners: Prices = np.unique(np.round(inside, 12), axis=0)
    return corners
