"""Openings: the candidates on one node that exist once some claims have left, and those already nominated.

Claims that are leaving anyway cost nothing. Eviction rights say who may go, who goes with whom, and
what it costs; of equal candidates the cheapest opening counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from solver.disruption import multi_gpu
from solver.disruption.cover import fewest
from solver.disruption.multi_gpu import MultiGpuSearch, worth_keeping
from solver.disruption.victims import Claims, Cost, EvictionRights
from solver.gpu_tables.tables import ShareOption, Slot
from solver.model.cluster import Backing
from solver.model.demand import ContainerDemands, DeviceShare, Grant, Request
from solver.model.geometry import Placement
from solver.model.occupation import MILLIONTHS, millionths
from solver.model.snapshot import Policy
from solver.working_copy.containers import ContainerPlace, ContainerPlaces
from solver.working_copy.occupancy import Candidate, Occupant, WorkingCluster, WorkingGpu, WorkingNode
from solver.working_copy.scoring import size, ways

MayGo = Callable[[str], bool]
EXACT_SHARERS = 8
NOBODY: Claims = frozenset()


@dataclass(frozen=True, slots=True)
class Opening:
    """A candidate for every device of a request once `removed` (all of them) have left."""

    candidates: tuple[Candidate, ...]
    removed: Claims = NOBODY


Priced = tuple[Cost, Opening]
GroupKey = tuple[int, str | None, str]
ANY_MODEL = ""


def on_node(
    cluster: WorkingCluster, node: WorkingNode, request: Request, policy: Policy, rights: EvictionRights
) -> Priced | None:
    """The cheapest opening on one node, whether it is free now or not, with its cost.

    Who must go for the node's CPU, memory and neighbours goes with it.
    """
    if isinstance(request.demand, ContainerDemands):
        return _for_containers(cluster, node, request, policy, rights)
    groups = _options(cluster, node, request, policy, rights)
    if not groups:
        return None
    search = MultiGpuSearch(request.demand.devices, rights, _finisher(cluster, node, request, rights))
    for gpus in groups:
        search.search(gpus if request.demand.devices == 1 or not node.has_room(request) else worth_keeping(gpus))
    if search.best is None:
        return None
    cost, candidates, removed = search.best
    return cost, Opening(candidates, removed)


def _for_containers(
    cluster: WorkingCluster, node: WorkingNode, request: Request, policy: Policy, rights: EvictionRights
) -> Priced | None:
    """An opening for all containers of a pod: for one after another, each the cheapest beside those before it."""

    def options(copy: WorkingNode, own: Request, removed: Claims) -> Iterator[ContainerPlace[Cost]]:
        found = []
        for _, opening in every(cluster, copy, own, policy, rights):
            together = removed | opening.removed
            everyone = rights.complete(together) if together else NOBODY
            if everyone is not None:
                found.append(ContainerPlace(rights.cost(everyone), opening.candidates, everyone))
        yield from sorted(found, key=lambda place: place.price)

    if not node.allowed(request):
        return None
    places = ContainerPlaces(node, options, lambda own: size(node, own, policy)).search(request)
    if places is None:
        return None
    candidates = tuple(candidate for place in places for candidate in place.candidates)
    whole = _finisher(cluster, node, request, rights)(candidates, NOBODY.union(*(place.removed for place in places)))
    return (whole[0], Opening(candidates, whole[1])) if whole else None


def every(
    cluster: WorkingCluster, node: WorkingNode, request: Request, policy: Policy, rights: EvictionRights
) -> Iterator[Priced]:
    """All openings on one node for one device; for several devices the cheapest one."""
    if request.demand.devices > 1:
        best = on_node(cluster, node, request, policy, rights)
        yield from (best,) if best else ()
        return
    finish = _finisher(cluster, node, request, rights)
    for gpus in _options(cluster, node, request, policy, rights):
        for option in (option for options in gpus for option in options):
            if whole := finish((option.candidate,), option.removed):
                yield whole[0], Opening((option.candidate,), whole[1])


def _options(
    cluster: WorkingCluster, node: WorkingNode, request: Request, policy: Policy, rights: EvictionRights
) -> list[list[list[multi_gpu.PricedCandidate]]]:
    """Candidates that go together (one profile or backing), by GPU, the cheapest first; of one model, then of any."""
    groups: dict[GroupKey, list[list[multi_gpu.PricedCandidate]]] = {}
    served = ways(node, request.demand, policy) if node.allowed(request) else ()
    spare = sum(map(bool, served)) - request.demand.devices
    for number, (gpu, options) in enumerate(zip(node.gpus, served, strict=False)):
        opened = False
        for rank, option in options:
            found = [
                multi_gpu.PricedCandidate(number, opening.candidates[0], opening.removed, cost)
                for cost, opening in sorted(_on_gpu(cluster, gpu, option, rights), key=_price)
            ]
            if found:
                opened = True
                key = (rank, option.profile.name if option.profile else None, gpu.reported.model)
                groups.setdefault(key, []).append(found)
        spare -= bool(options) and not opened
        if spare < 0:
            return []  # too few GPUs are left for its devices
    merged: dict[GroupKey, list[list[multi_gpu.PricedCandidate]]] = {}
    if request.demand.devices > 1 and len({gpu.reported.model for gpu in node.gpus}) > 1:
        for (rank, profile, _), gpus in groups.items():
            merged.setdefault((rank, profile, ANY_MODEL), []).extend(gpus)
    return [*groups.values(), *merged.values()]


def _price(priced: Priced) -> Cost:
    return priced[0]


def _finisher(
    cluster: WorkingCluster, node: WorkingNode, request: Request, rights: EvictionRights
) -> Callable[[tuple[Candidate, ...], Claims], tuple[Cost, Claims] | None]:
    """Adds the fewest more to go, so that CPU, memory and neighbours leave room; None where none suffice."""

    def finish(candidates: tuple[Candidate, ...], removed: Claims) -> tuple[Cost, Claims] | None:
        freed = freed_on(cluster, node, removed)
        if node.has_room(request, freed):
            return rights.cost(removed), removed
        others = [cluster.held[c].request for c in _holders(cluster, node) - removed if rights.may_go(c)]
        kin = [r for r in others if request.anti_affinity is not None and r.anti_affinity == request.anti_affinity]
        rest = sorted((r for r in others if r not in kin), key=lambda r: rights.cost(frozenset((r.claim,))))
        chosen = fewest(node.lack(request, (*freed, *kin)), [(r.cpu_milli, r.memory_mib) for r in rest])
        more = (*kin, *(rest[i] for i in chosen or ()))
        if chosen is None or not node.has_room(request, (*freed, *more)):
            return None
        everyone = rights.complete(removed | {r.claim for r in more})
        return (rights.cost(everyone), everyone) if everyone is not None else None

    return finish


def _holders(cluster: WorkingCluster, node: WorkingNode) -> Claims:
    return frozenset(o.claim for gpu in node.gpus for o in gpu.occupants if o.claim in cluster.held and o.claim)


def freed_on(cluster: WorkingCluster, node: WorkingNode, removed: Claims) -> list[Request]:
    """The requests among `removed` that hold room on this node."""
    held = (cluster.held[claim] for claim in removed if claim in cluster.held)
    return [holding.request for holding in held if holding.grant.node == node.reported.name]


def _on_gpu(cluster: WorkingCluster, gpu: WorkingGpu, option: ShareOption, rights: EvictionRights) -> Iterator[Priced]:
    """Every opening worth considering on one GPU, with all who go."""
    if option.profile is None:
        found = _plain(cluster, gpu, option, rights.may_go)
    else:
        assert gpu.table is not None
        slots = gpu.table.by_profile[option.profile.name]
        found = (opening for slot in slots for opening in _mig(gpu, option, slot, rights.may_go))
    prices: dict[Claims, tuple[Cost, Claims] | None] = {}
    for opening in found:
        if opening.removed not in prices:
            removed = rights.complete(opening.removed) if opening.removed else NOBODY
            prices[opening.removed] = (rights.cost(removed), removed) if removed is not None else None
        if priced := prices[opening.removed]:
            yield priced[0], Opening(opening.candidates, priced[1])


def _mig(gpu: WorkingGpu, option: ShareOption, slot: Slot, may_go: MayGo) -> Iterator[Opening]:
    """The smallest opening at one start: its units' holders, and more only where media engines demand it."""
    blocking = [o for o in gpu.occupants if o.mask & slot.mask]
    if not all(o.claim is not None and may_go(o.claim) for o in blocking):
        return
    rest = [o for o in gpu.occupants if not o.mask & slot.mask]
    if candidate := _candidate(gpu, option, slot, blocking, rest):
        yield Opening((candidate,), frozenset(o.claim for o in blocking if o.claim))
        return
    others = [o for o in rest if o.claim is not None and may_go(o.claim)]
    for count in range(1, len(others) + 1):
        for more in combinations(others, count):
            removed = [*blocking, *more]
            if candidate := _candidate(gpu, option, slot, removed, [o for o in rest if o not in more]):
                yield Opening((candidate,), frozenset(o.claim for o in removed if o.claim))


def _candidate(
    gpu: WorkingGpu, option: ShareOption, slot: Slot, removed: list[Occupant], staying: list[Occupant]
) -> Candidate | None:
    """The slot once these have left, and what must be destroyed for it; None where media engines forbid it."""
    idle = gpu.left_behind(removed)
    reused = Placement(slot.profile.name, slot.start) in idle
    destroys = () if reused else gpu.in_the_way(slot, staying, idle)
    return None if destroys is None else Candidate(gpu, option.share(gpu.reported, slot.start), destroys, not reused)


def _plain(cluster: WorkingCluster, gpu: WorkingGpu, option: ShareOption, may_go: MayGo) -> Iterator[Opening]:
    """Sets of sharers, none larger than it must be, whose going leaves enough of a GPU without MIG."""
    lack = _Lack(
        gpu.millionths + millionths(option.portion) - MILLIONTHS,
        gpu.memory_mib + option.memory_mib - gpu.reported.memory_mib,
    )
    movable = [o for o in gpu.occupants if o.claim is not None and may_go(o.claim)] if lack else []
    leaving = [o for o in movable if o.claim in cluster.leaving]
    staying = [o for o in movable if o.claim not in cluster.leaving]
    for removed in _sufficient(lack - leaving, staying):
        needed = _without_surplus(lack - removed, leaving)
        claims = frozenset(o.claim for o in (*needed, *removed) if o.claim)
        yield Opening((Candidate(gpu, option.share(gpu.reported)),), claims)


@dataclass(frozen=True, slots=True)
class _Lack:
    """What is missing of a GPU without MIG for one more share. False: nothing."""

    millionths: int
    memory_mib: int

    def __bool__(self) -> bool:
        return self.millionths > 0 or self.memory_mib > 0

    def __sub__(self, removed: Iterable[Occupant]) -> _Lack:
        """What is still missing when these have left."""
        left = tuple(removed)
        return _Lack(
            self.millionths - sum(o.millionths for o in left), self.memory_mib - sum(o.memory_mib for o in left)
        )


def _sufficient(lack: _Lack, staying: list[Occupant]) -> Iterator[tuple[Occupant, ...]]:
    """Every set of `staying` that ends the lack and has none too many; of very many sharers only the fewest."""
    if not lack:
        yield ()
        return
    if lack - staying:
        return
    if len(staying) > EXACT_SHARERS:
        chosen = fewest((lack.millionths, lack.memory_mib), [(o.millionths, o.memory_mib) for o in staying])
        yield tuple(staying[i] for i in chosen or ())
        return
    found: list[set[Occupant]] = []
    for count in range(1, len(staying) + 1):
        for removed in combinations(staying, count):
            if not any(less <= set(removed) for less in found) and not lack - removed:
                found.append(set(removed))
                yield removed


def _without_surplus(lack: _Lack, leaving: list[Occupant]) -> list[Occupant]:
    """Of those leaving anyway only whom it takes."""
    needed = list(leaving)
    for occupant in leaving:
        fewer = [o for o in needed if o is not occupant]
        if not lack - fewer:
            needed = fewer
    return needed


def of_grant(cluster: WorkingCluster, request: Request, grant: Grant) -> Opening | None:
    """The opening that a grant describes, if only claims that are leaving stand in it; None where it is lost."""
    node = cluster.nodes.get(grant.node)
    if node is None or not node.allowed(request):
        return None
    copies = {gpu.reported.uuid: gpu for gpu in node.copied().gpus}
    candidates, removed = list[Candidate](), NOBODY
    for share in grant.devices:
        copy = copies.get(share.gpu)
        opening = _of_share(cluster, copy, share) if copy else None
        if copy is None or opening is None:
            return None
        for gpu in copies.values():
            for claim in opening.removed:
                gpu.remove(claim)
        copy.give(request.claim, opening.candidates[0])
        candidates += (replace(candidate, gpu=cluster.gpus[share.gpu]) for candidate in opening.candidates)
        removed |= opening.removed
    freed = [cluster.held[c].request for c in removed if c in cluster.held]
    return Opening(tuple(candidates), removed) if node.has_room(request, freed) else None


def _of_share(cluster: WorkingCluster, gpu: WorkingGpu, share: DeviceShare) -> Opening | None:
    if gpu.reported.fenced or gpu.reported.mig != (share.backing is Backing.MIG):
        return None
    profile = gpu.table.model.profile(share.profile) if gpu.table and share.profile else None
    option = ShareOption(share.backing, share.portion, share.memory_mib, profile)

    def leaving(claim: str) -> bool:
        return claim in cluster.leaving

    if share.backing is not Backing.MIG:
        return next(_plain(cluster, gpu, option, leaving), None)
    slots = gpu.table.by_profile.get(share.profile or "", ()) if gpu.table else ()
    return next((w for slot in slots if slot.start == share.start for w in _mig(gpu, option, slot, leaving)), None)
