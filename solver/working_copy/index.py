"""Where a request for one device fits best, without looking at every GPU.

    GpuGroup       GPUs alike: one pool, one model, one state; ordered by how full their nodes are
    ModelGroups    the groups of one pool and model
    ProfileGroups  of those, the groups with a start for one profile, by cost
    tier           for a demand, the models that serve it equally well (equal heads of the score)

The best candidate is the first of the best group of the first tier that has one: what a decision costs
depends on how many states there are, a fact of the model, and not on how many GPUs. After a change only
the changed nodes' GPUs move between groups. Answers are those of `scoring.best_candidates`; of equal
scores the first GPU's.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Sequence

from solver.gpu_tables.states import Cost, GpuState
from solver.gpu_tables.tables import ShareOption, Table
from solver.model.demand import Demand, Request
from solver.model.occupation import MILLIONTHS, millionths
from solver.model.snapshot import Policy
from solver.working_copy.occupancy import Candidate, WorkingCluster, WorkingGpu, WorkingNode
from solver.working_copy.scoring import Score, candidate, options, part, plain_cost, preference, spreads, tail

Admits = Callable[[WorkingNode], bool]
Plain = tuple[int, int]
Answer = tuple[Score, int]
TIERS_CACHED = 4096
MOST_REFUSALS = 256


class TooManyRefusals(Exception):
    """So many nodes do not admit the request that a look at all of them is cheaper."""


class GpuGroup:
    """GPUs alike, as a heap of (order, number of the GPU); entries that are out of date are dropped at the top.

    key    the state; without MIG the millionths and MiB in use
    order  how full the node is (sum over its GPUs, each 0 to 1), negative where the fullest comes first
    state  None without MIG
    """

    __slots__ = ("alive", "full", "heap", "key", "state", "used")

    def __init__(self, key: GpuState | Plain) -> None:
        self.key = key
        self.state = key if isinstance(key, GpuState) else None
        self.used = key.used if isinstance(key, GpuState) else key[0] / MILLIONTHS
        self.full = key.full if isinstance(key, GpuState) else key[0] >= MILLIONTHS
        self.heap: list[tuple[float, int]] = []
        self.alive = 0


class ModelGroups:
    """The groups of one pool and model."""

    def __init__(self, example: WorkingGpu, policy: Policy) -> None:
        self.gpu, self.table = example.reported, example.table
        self.pool = example.node.reported.pool
        self.spread = spreads(policy, self.pool)
        self.groups: dict[GpuState | Plain, GpuGroup] = {}
        self._profiles: dict[str, ProfileGroups] = {}
        self._levels: list[Plain] = []

    def group_of(self, gpu: WorkingGpu) -> GpuGroup:
        key = gpu.state or (gpu.millionths, gpu.memory_mib)
        if key not in self.groups:
            self.groups[key] = GpuGroup(key)
        return self.groups[key]

    def opened(self, found: GpuGroup) -> None:
        """Enter a group that has its first GPU."""
        if isinstance(found.key, GpuState):
            for profile_groups in self._profiles.values():
                profile_groups.add(found)
        else:
            insort(self._levels, found.key)

    def closed(self, found: GpuGroup) -> None:
        """Drop a group that has no GPU any more."""
        del self.groups[found.key]
        if isinstance(found.key, GpuState):
            for profile_groups in self._profiles.values():
                profile_groups.remove(found)
        else:
            del self._levels[bisect_right(self._levels, found.key) - 1]

    def choices(self, option: ShareOption) -> Iterable[Sequence[tuple[GpuGroup, Cost]]]:
        """Groups that can serve the option, with their cost: equal ones together, the better ones first."""
        if option.profile is None:
            return self._plain(option)
        name = option.profile.name
        if name not in self._profiles:
            self._profiles[name] = ProfileGroups(name, self.spread, self.groups.values())
        return self._profiles[name].groups()

    def _plain(self, option: ShareOption) -> Iterable[Sequence[tuple[GpuGroup, Cost]]]:
        """The fullest that still have room come first; for spreading all of them are one group."""
        least = MILLIONTHS - millionths(option.portion)
        fitting = self._levels[: bisect_right(self._levels, (least, self.gpu.memory_mib))]
        found: list[tuple[GpuGroup, Cost]] = []
        for level in reversed(fitting):
            if found and level[0] != found[-1][0].key[0] and not self.spread:  # type: ignore[index]
                yield found
                found = []
            if level[1] + option.memory_mib <= self.gpu.memory_mib:
                found.append((self.groups[level], plain_cost(level[0], option)))
        if found:
            yield found


class ProfileGroups:
    """The groups of a model with a start for one profile; for packing by cost, for spreading all together."""

    def __init__(self, profile: str, spread: bool, groups: Iterable[GpuGroup]) -> None:
        self._profile, self._spread = profile, spread
        self._groups: dict[Cost, dict[GpuGroup, tuple[GpuGroup, Cost]]] = {}
        self._order: list[Cost] = []
        for found in groups:
            self.add(found)

    def add(self, found: GpuGroup) -> None:
        if cost := self._cost(found):
            key = self._key(cost)
            if key not in self._groups:
                self._groups[key] = {}
                insort(self._order, key)
            self._groups[key][found] = (found, cost)

    def remove(self, found: GpuGroup) -> None:
        if cost := self._cost(found):
            del self._groups[self._key(cost)][found]

    def groups(self) -> Iterable[Sequence[tuple[GpuGroup, Cost]]]:
        return (tuple(group.values()) for key in self._order if (group := self._groups[key]))

    def _cost(self, found: GpuGroup) -> Cost | None:
        offer = found.state.offer(self._profile) if found.state else None
        return offer.cost if offer else None

    def _key(self, cost: Cost) -> Cost:
        return (0, 0) if self._spread else cost


class GpuIndex:
    """The GPUs of some nodes, brought up to date with the cluster."""

    def __init__(self, cluster: WorkingCluster, nodes: Iterable[WorkingNode], policy: Policy) -> None:
        self._changes, self._policy = cluster.changes, policy
        self._gpus: list[WorkingGpu] = []
        self._numbers: dict[str, range] = {}
        self._by_model: dict[tuple[str, str, Table | int], ModelGroups] = {}
        self._model_of: list[ModelGroups] = []
        self._entries: list[tuple[GpuGroup, float] | None] = []
        self._tiers: dict[tuple[Demand, tuple[str, ...]], list[list[tuple[ModelGroups, ShareOption, Score]]]] = {}
        self._seen = len(self._changes)
        for node in nodes:
            if node.reported.ready:
                self._enter(node)

    def best(self, request: Request, admits: Admits | None = None) -> Candidate | None:
        """The best candidate that is free now for one device; `admits` says which nodes may have it.

        Raises TooManyRefusals.
        """
        self.catch_up()
        best: tuple[Answer, ShareOption] | None = None
        for tier in self._tiers_for(request):
            for same_model, option, head in tier:
                found = self._first(same_model, option, head, admits)
                if found and (best is None or found < best[0]):
                    best = found, option
            if best:
                (_, number), option = best
                return candidate(self._gpus[number], option)
        return None

    def catch_up(self) -> None:
        """Put the GPUs of nodes that changed where they belong now."""
        if self._seen < len(self._changes):
            for name in set(self._changes[self._seen :]):
                if name in self._numbers:
                    self._arrange(self._numbers[name])
            self._seen = len(self._changes)

    def rewind(self) -> None:
        """The cluster's list of changes was emptied, all of them seen."""
        self._seen = 0

    def _enter(self, node: WorkingNode) -> None:
        first = len(self._gpus)
        for gpu in node.gpus:
            if gpu.reported.fenced or (gpu.reported.mig and gpu.table is None):
                continue
            key = (node.reported.pool, gpu.reported.model, gpu.table or gpu.reported.memory_mib)
            if key not in self._by_model:
                self._by_model[key] = ModelGroups(gpu, self._policy)
            self._gpus.append(gpu)
            self._model_of.append(self._by_model[key])
            self._entries.append(None)
        self._numbers[node.reported.name] = range(first, len(self._gpus))
        self._arrange(self._numbers[node.reported.name])

    def _arrange(self, numbers: range) -> None:
        used = self._gpus[numbers[0]].node.used if numbers else 0.0
        for number in numbers:
            gpu, same_model, old = self._gpus[number], self._model_of[number], self._entries[number]
            order = used if same_model.spread else -used
            key = gpu.state or (gpu.millionths, gpu.memory_mib)
            if old and old[0].key == key:
                if old[1] == order:
                    continue
                group = old[0]
            else:
                group = self._change_group(same_model, gpu, old[0] if old else None)
            self._entries[number] = (group, order)
            if group.full:
                continue
            heapq.heappush(group.heap, (order, number))
            if len(group.heap) > 4 * group.alive + 64:
                self._sweep(group)

    def _change_group(self, same_model: ModelGroups, gpu: WorkingGpu, old: GpuGroup | None) -> GpuGroup:
        new = same_model.group_of(gpu)
        new.alive += 1
        if new.alive == 1:
            same_model.opened(new)
        if old:
            old.alive -= 1
            if not old.alive:
                same_model.closed(old)
        return new

    def _sweep(self, found: GpuGroup) -> None:
        """Drop the entries that are out of date."""
        found.heap = sorted({entry for entry in found.heap if self._entries[entry[1]] == (found, entry[0])})

    def _tiers_for(self, request: Request) -> list[list[tuple[ModelGroups, ShareOption, Score]]]:
        key = (request.demand, request.pools)
        if key not in self._tiers:
            if len(self._tiers) >= TIERS_CACHED:
                self._tiers.clear()
            tiers: dict[Score, list[tuple[ModelGroups, ShareOption, Score]]] = {}
            for same_model in self._by_model.values():
                if request.pools and same_model.pool not in request.pools:
                    continue
                rule = self._policy.memory_rule(same_model.pool)
                for rank, option in options(same_model.gpu, same_model.table, request.demand, rule):
                    head = (preference(request, same_model.pool), rank, part(request.demand, option))
                    tiers.setdefault(head, []).append((same_model, option, head))
            self._tiers[key] = [tiers[head] for head in sorted(tiers)]
        return self._tiers[key]

    def _first(self, same_model: ModelGroups, option: ShareOption, head: Score, admits: Admits | None) -> Answer | None:
        """The best of a model with its score; of equal ones the first GPU."""
        for group in same_model.choices(option):
            best: Answer | None = None
            for found, cost in group:
                entry = self._top(found, admits)
                if entry is None:
                    continue
                order, number = entry
                used = order if same_model.spread else -order
                answer = (tail(same_model.spread, used, found.used, cost), number)
                if best is None or answer < best:
                    best = answer
            if best:
                return best
        return None

    def _top(self, found: GpuGroup, admits: Admits | None) -> tuple[float, int] | None:
        heap, refused = found.heap, list[tuple[float, int]]()
        try:
            while heap:
                entry = heap[0]
                if self._entries[entry[1]] != (found, entry[0]):
                    heapq.heappop(heap)
                elif admits is None or admits(self._gpus[entry[1]].node):
                    return entry
                else:
                    refused.append(heapq.heappop(heap))
                    if len(refused) > MOST_REFUSALS:
                        raise TooManyRefusals
            return None
        finally:
            for entry in refused:
                heapq.heappush(heap, entry)
