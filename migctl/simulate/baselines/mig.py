"""Rules for GPUs in MIG mode: a score for every GPU that has a start, and one for every start on it.

    first-fit    the first GPU; its first start
    best-fit     the fullest GPU; its first start
    most-placements-left   the GPU and start that close the fewest free slots (a slot: a profile at a start)
    fgd          the GPU and start that add the least fragmentation (Weng et al., "Beware of Fragmentation",
                 USENIX ATC 2023): free units that a request of the mix could not use, by how often it is made
    hami         the fullest node, on it the fullest GPU (binpack); 1g and 3g from the high end of the GPU,
                 others from the low end
    hami-spread  the same with the emptiest GPU of the fullest node: HAMi's default
    dra          the first in the order of names: nodes, then devices named gpu-<n>-mig-<profile>-<start>

The smaller score is the better; of equal GPUs the first one's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from migctl.simulate.baselines.fragments import unusable_units
from migctl.simulate.events import Admission
from migctl.simulate.fleet import SimulatedFleet
from solver.gpu_tables.tables import Slot, Table, table
from solver.model.demand import Holding, MigProfile, Request, parts_of
from solver.model.geometry import Placement
from solver.model.snapshot import MemoryRule
from solver.working_copy.occupancy import Candidate, WorkingCluster, WorkingGpu

ProfileWeights = Mapping[str, float]
Scores = NDArray[np.float64]


def _lowest(slot: Slot) -> float:
    return slot.start


def _as_listed(gpu: WorkingGpu) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Rule:
    """The criteria of one rule.

    score  of a slot on a GPU of this model whose units of the mask are taken, for this demand
    start  which of a GPU's slots of equal score is taken
    node   what a GPU in use on the node adds to the score (negative: fuller nodes first)
    order  sorts the GPUs; of equal scores the first is taken
    """

    score: Callable[[Table, ProfileWeights, int, Slot], float]
    start: Callable[[Slot], float] = _lowest
    node: float = 0.0
    order: Callable[[WorkingGpu], tuple[str, ...]] = _as_listed


NODE_FIRST = -1000.0
"""Makes any difference between nodes outweigh every difference between GPUs."""


def _nothing(model: Table, demand: ProfileWeights, mask: int, slot: Slot) -> float:
    return 0.0


def _fullest(model: Table, demand: ProfileWeights, mask: int, slot: Slot) -> float:
    return -mask.bit_count()


def _emptiest(model: Table, demand: ProfileWeights, mask: int, slot: Slot) -> float:
    return mask.bit_count()


def _closed(model: Table, demand: ProfileWeights, mask: int, slot: Slot) -> float:
    usual = [s for s in model.slots if s.profile in model.usual]
    return sum(not s.mask & mask and bool(s.mask & slot.mask) for s in usual)


def _fragmented(model: Table, demand: ProfileWeights, mask: int, slot: Slot) -> float:
    return unusable_units(model, demand, mask | slot.mask) - unusable_units(model, demand, mask)


def _names(gpu: WorkingGpu) -> tuple[str, ...]:
    return gpu.reported.node, f"gpu-{gpu.reported.index}"


def _ends(slot: Slot) -> float:
    return -slot.start if slot.profile.slices in (1, 3) else slot.start


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "first-fit": Rule(_nothing),
        "best-fit": Rule(_fullest),
        "most-placements-left": Rule(_closed),
        "fgd": Rule(_fragmented),
        "hami": Rule(_fullest, _ends, node=NODE_FIRST),
        "hami-spread": Rule(_emptiest, _ends, node=NODE_FIRST),
        "dra": Rule(_nothing, order=_names),
    }
)


class _Lookup:
    """One rule on one model: the best slot and its score for every profile and mask, computed once."""

    def __init__(self, model: Table, rule: Rule, demand: ProfileWeights) -> None:
        self._model, self._rule, self._demand = model, rule, demand
        self._tables: dict[str, tuple[Scores, dict[int, Slot]]] = {}

    def scores(self, profile: str) -> Scores:
        """By mask; infinite where the profile has no free slot."""
        return self._table(profile)[0]

    def slot(self, profile: str, mask: int) -> Slot:
        return self._table(profile)[1][mask]

    def _table(self, profile: str) -> tuple[Scores, dict[int, Slot]]:
        if profile not in self._tables:
            best = {
                mask: found for mask in range(self._model.model.full_mask + 1) if (found := self._best(profile, mask))
            }
            scores = np.full(self._model.model.full_mask + 1, np.inf)
            scores[list(best)] = [score for score, _, _ in best.values()]
            self._tables[profile] = scores, {mask: slot for mask, (_, _, slot) in best.items()}
        return self._tables[profile]

    def _best(self, profile: str, mask: int) -> tuple[float, float, Slot] | None:
        free = (slot for slot in self._model.by_profile.get(profile, ()) if not slot.mask & mask)
        rated = (
            (self._rule.score(self._model, self._demand, mask, slot), self._rule.start(slot), slot) for slot in free
        )
        return min(rated, key=lambda found: found[:2], default=None)


class MigBaseline:
    """A fleet in MIG mode under one rule; requests name their profile. demand: the part that names each."""

    def __init__(self, fleet: SimulatedFleet, rule: Rule, demand: ProfileWeights) -> None:
        self._cluster = WorkingCluster(fleet.snapshot)
        self._gpus = sorted(self._cluster.gpus.values(), key=rule.order)
        self._number = {gpu.reported.uuid: number for number, gpu in enumerate(self._gpus)}
        self._lookups = {name: _Lookup(table(model), rule, demand) for name, model in fleet.models.items()}
        self._of_model = {
            name: np.flatnonzero([gpu.reported.model == name for gpu in self._gpus]) for name in fleet.models
        }
        self._mask = np.zeros(len(self._gpus), dtype=np.int64)
        hosts = {name: number for number, name in enumerate(self._cluster.nodes)}
        self._host = np.array([hosts[gpu.reported.node] for gpu in self._gpus])
        self._units = [gpu.table.model.units if gpu.table else 1 for gpu in self._gpus]
        self._used, self._node = np.zeros(len(hosts)), rule.node

    def admit(self, request: Request, now: float) -> Admission | None:
        assert isinstance(request.demand, MigProfile)
        scores = np.full(len(self._gpus), np.inf)
        for model, here in self._of_model.items():
            if not request.pools or model in request.pools:
                scores[here] = self._lookups[model].scores(request.demand.profile)[self._mask[here]]
        if self._node:
            scores += self._node * self._used[self._host]
        best = int(np.argmin(scores))
        return None if scores[best] == np.inf else self._take(request, request.demand.profile, self._gpus[best], now)

    def release(self, claim: str) -> None:
        gpu = self._cluster.gpus[self._cluster.held[claim].grant.devices[0].gpu]
        self._cluster.release(claim)
        self._changed(gpu)

    def _take(self, request: Request, profile: str, gpu: WorkingGpu, now: float) -> Admission:
        assert gpu.table is not None
        slot = self._lookups[gpu.reported.model].slot(profile, gpu.mask)
        (demand,) = parts_of(request.demand)
        (option,) = gpu.table.mig_options(demand, MemoryRule.PROPORTIONAL)
        reused = Placement(profile, slot.start) in gpu.idle
        destroys = () if reused else gpu.in_the_way(slot, gpu.occupants, gpu.idle)
        assert destroys is not None, "the plain profiles of a mix fit beside one another wherever units are free"
        candidate = Candidate(gpu, option.share(gpu.reported, slot.start), destroys, not reused)
        grant = self._cluster.take(request, (candidate,))
        self._cluster.hold(Holding(request, grant, now))
        self._changed(gpu)
        return Admission(grant, int(not reused), len(destroys))

    def _changed(self, gpu: WorkingGpu) -> None:
        number = self._number[gpu.reported.uuid]
        before, self._mask[number] = int(self._mask[number]), gpu.mask
        self._used[self._host[number]] += (gpu.mask.bit_count() - before.bit_count()) / self._units[number]
        self._cluster.changes.clear()
