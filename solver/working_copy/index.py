"""Where a request fits best, without looking at every GPU.

    bin     GPUs alike: one pool, one model, one state; in it the order is by how full their nodes are
    shelf   the bins of one pool and model, and for each profile the bins that have a start for it,
            by cost
    lanes   for an ask, the shelves that could serve it, in the order of the score's head

The best candidate is the first in the best bin: what a decision costs depends on how many states there
are, a fact of the model, and not on how many GPUs. After a change only the changed nodes' GPUs
move between bins. Answers are those of `scoring.best_candidates`; of equal scores the first GPU's.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Sequence

from solver.gpu_tables.states import Cost, State
from solver.gpu_tables.tables import Option, Table
from solver.model.demand import Demand, Request
from solver.model.occupation import MILLIONTHS, millionths
from solver.model.snapshot import Policy
from solver.working_copy.occupancy import Candidate, WorkingCluster, WorkingGpu, WorkingNode
from solver.working_copy.scoring import Score, candidate, options, part, plain_cost, preference, spreads, tail

Admits = Callable[[WorkingNode], bool]
Plain = tuple[int, int]
Answer = tuple[Score, int]
LANES_KEPT = 4096
MOST_REFUSALS = 256


class TooManyRefusals(Exception):
    """So many nodes do not admit the request that a look at all of them is cheaper."""


class Bin:
    """GPUs alike, as a heap of (order, number of the GPU); entries that are out of date are dropped at the top.

    order: how full the node is, negative where the fullest comes first. state: None without MIG.
    """

    __slots__ = ("alive", "full", "heap", "key", "state", "used")

    def __init__(self, key: State | Plain) -> None:
        self.key = key
        self.state = key if isinstance(key, State) else None
        self.used = key.used if isinstance(key, State) else key[0] / MILLIONTHS
        self.full = key.full if isinstance(key, State) else key[0] >= MILLIONTHS
        self.heap: list[tuple[float, int]] = []
        self.alive = 0


class Shelf:
    """The bins of one pool and model."""

    def __init__(self, example: WorkingGpu, policy: Policy) -> None:
        self.gpu, self.table = example.reported, example.table
        self.pool = example.node.reported.pool
        self.spread = spreads(policy, self.pool)
        self.bins: dict[State | Plain, Bin] = {}
        self._views: dict[str, View] = {}
        self._levels: list[Plain] = []

    def bin(self, gpu: WorkingGpu) -> Bin:
        key = gpu.state or (gpu.millionths, gpu.memory_mib)
        if key not in self.bins:
            self.bins[key] = Bin(key)
        return self.bins[key]

    def opened(self, found: Bin) -> None:
        """The bin has its first GPU."""
        if isinstance(found.key, State):
            for view in self._views.values():
                view.add(found)
        else:
            insort(self._levels, found.key)

    def closed(self, found: Bin) -> None:
        """The bin has no GPU any more."""
        del self.bins[found.key]
        if isinstance(found.key, State):
            for view in self._views.values():
                view.remove(found)
        else:
            del self._levels[bisect_right(self._levels, found.key) - 1]

    def choices(self, option: Option) -> Iterable[Sequence[tuple[Bin, Cost]]]:
        """Bins that can serve the option, with their cost: groups, the better ones first."""
        if option.profile is None:
            return self._plain(option)
        name = option.profile.name
        if name not in self._views:
            self._views[name] = View(name, self.spread, self.bins.values())
        return self._views[name].groups()

    def _plain(self, option: Option) -> Iterable[Sequence[tuple[Bin, Cost]]]:
        """The fullest that still have room come first; for spreading all of them are one group."""
        least = MILLIONTHS - millionths(option.portion)
        fitting = self._levels[: bisect_right(self._levels, (least, self.gpu.memory_mib))]
        found: list[tuple[Bin, Cost]] = []
        for level in reversed(fitting):
            if found and level[0] != found[-1][0].key[0] and not self.spread:  # type: ignore[index]
                yield found
                found = []
            if level[1] + option.memory_mib <= self.gpu.memory_mib:
                found.append((self.bins[level], plain_cost(level[0], option)))
        if found:
            yield found


class View:
    """The bins of a shelf with a start for one profile; for packing in groups by cost."""

    def __init__(self, profile: str, spread: bool, bins: Iterable[Bin]) -> None:
        self._profile, self._spread = profile, spread
        self._groups: dict[Cost, dict[Bin, tuple[Bin, Cost]]] = {}
        self._order: list[Cost] = []
        for found in bins:
            self.add(found)

    def add(self, found: Bin) -> None:
        if cost := self._cost(found):
            key = self._key(cost)
            if key not in self._groups:
                self._groups[key] = {}
                insort(self._order, key)
            self._groups[key][found] = (found, cost)

    def remove(self, found: Bin) -> None:
        if cost := self._cost(found):
            del self._groups[self._key(cost)][found]

    def groups(self) -> Iterable[Sequence[tuple[Bin, Cost]]]:
        return (tuple(group.values()) for key in self._order if (group := self._groups[key]))

    def _cost(self, found: Bin) -> Cost | None:
        offer = found.state.offer(self._profile) if found.state else None
        return offer.cost if offer else None

    def _key(self, cost: Cost) -> Cost:
        return (0, 0) if self._spread else cost


class Index:
    """The GPUs of some nodes, kept up to date with the cluster."""

    def __init__(self, cluster: WorkingCluster, nodes: Iterable[WorkingNode], policy: Policy) -> None:
        self._changes, self._policy = cluster.changes, policy
        self._gpus: list[WorkingGpu] = []
        self._numbers: dict[str, range] = {}
        self._shelves: dict[tuple[str, str, Table | int], Shelf] = {}
        self._shelf: list[Shelf] = []
        self._place: list[tuple[Bin, float] | None] = []
        self._lanes: dict[tuple[Demand, tuple[str, ...]], list[list[tuple[Shelf, Option, Score]]]] = {}
        self._seen = len(self._changes)
        for node in nodes:
            if node.reported.ready:
                self._enter(node)

    def best(self, request: Request, admits: Admits | None = None) -> Candidate | None:
        """The best candidate that is free now for one device; `admits` says which nodes may have it.

        Raises TooManyRefusals.
        """
        self.catch_up()
        best: tuple[Answer, Option] | None = None
        for lane in self._lanes_for(request):
            for shelf, option, head in lane:
                found = self._first(shelf, option, head, admits)
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
            if key not in self._shelves:
                self._shelves[key] = Shelf(gpu, self._policy)
            self._gpus.append(gpu)
            self._shelf.append(self._shelves[key])
            self._place.append(None)
        self._numbers[node.reported.name] = range(first, len(self._gpus))
        self._arrange(self._numbers[node.reported.name])

    def _arrange(self, numbers: range) -> None:
        used = self._gpus[numbers[0]].node.used if numbers else 0.0
        for number in numbers:
            gpu, shelf, old = self._gpus[number], self._shelf[number], self._place[number]
            order = used if shelf.spread else -used
            key = gpu.state or (gpu.millionths, gpu.memory_mib)
            if old and old[0].key == key:
                if old[1] == order:
                    continue
                here = old[0]
            else:
                here = self._change_bin(shelf, gpu, old[0] if old else None)
            self._place[number] = (here, order)
            if here.full:
                continue
            heapq.heappush(here.heap, (order, number))
            if len(here.heap) > 4 * here.alive + 64:
                self._sweep(here)

    def _change_bin(self, shelf: Shelf, gpu: WorkingGpu, old: Bin | None) -> Bin:
        new = shelf.bin(gpu)
        new.alive += 1
        if new.alive == 1:
            shelf.opened(new)
        if old:
            old.alive -= 1
            if not old.alive:
                shelf.closed(old)
        return new

    def _sweep(self, found: Bin) -> None:
        """Drop the entries that are out of date."""
        found.heap = sorted({entry for entry in found.heap if self._place[entry[1]] == (found, entry[0])})

    def _lanes_for(self, request: Request) -> list[list[tuple[Shelf, Option, Score]]]:
        key = (request.demand, request.pools)
        if key not in self._lanes:
            if len(self._lanes) >= LANES_KEPT:
                self._lanes.clear()
            lanes: dict[Score, list[tuple[Shelf, Option, Score]]] = {}
            for shelf in self._shelves.values():
                if request.pools and shelf.pool not in request.pools:
                    continue
                for rank, option in options(shelf.gpu, shelf.table, request.demand, self._policy):
                    head = (preference(request, shelf.pool), rank, part(request.demand, option))
                    lanes.setdefault(head, []).append((shelf, option, head))
            self._lanes[key] = [lanes[head] for head in sorted(lanes)]
        return self._lanes[key]

    def _first(self, shelf: Shelf, option: Option, head: Score, admits: Admits | None) -> Answer | None:
        """The best of a shelf with its score; of equal ones the first GPU."""
        for group in shelf.choices(option):
            best: Answer | None = None
            for found, cost in group:
                entry = self._top(found, admits)
                if entry is None:
                    continue
                order, number = entry
                used = order if shelf.spread else -order
                answer = (tail(shelf.spread, used, found.used, cost), number)
                if best is None or answer < best:
                    best = answer
            if best:
                return best
        return None

    def _top(self, found: Bin, admits: Admits | None) -> tuple[float, int] | None:
        heap, refused = found.heap, list[tuple[float, int]]()
        try:
            while heap:
                entry = heap[0]
                if self._place[entry[1]] != (found, entry[0]):
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
