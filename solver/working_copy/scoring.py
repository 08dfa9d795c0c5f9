"""What makes one place better than another, and the best candidates of one node.

Scores compare in this order: node pool preference, MIG before software, the preferred profile, the
smaller part of a GPU, then for packing (binpack) the least room closed (creates,
destroys and holders count as some), the fullest node and GPU; for spreading the emptiest node and GPU first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from solver.gpu_tables.choices import choices
from solver.gpu_tables.states import Cost
from solver.gpu_tables.tables import ShareOption, Table
from solver.model.cluster import Gpu
from solver.model.demand import ContainerDemands, Demand, Request, WholeGpus
from solver.model.occupation import MILLIONTHS, millionths
from solver.model.snapshot import MemoryRule, Policy, Spreading
from solver.working_copy.containers import ContainerPlace, ContainerPlaces
from solver.working_copy.occupancy import Candidate, WorkingCluster, WorkingGpu, WorkingNode

Score = tuple[float, ...]
GroupKey = tuple[int, str | None, str]
Scored = tuple[Score, list[Candidate]]
Ways = tuple[tuple[tuple[int, ShareOption], ...], ...]
WAYS_CACHED = 4096
Offers = dict[GroupKey, list[tuple[Score, Candidate]]]


def best_candidates(
    cluster: WorkingCluster, request: Request, policy: Policy, within: Iterable[WorkingNode] | None = None
) -> list[Candidate]:
    """The best place that is free now for every device of the request, all on one node; [] where there is none.

    Looks at every node: what the indexed search must agree with.
    """
    best: tuple[Score, list[Candidate]] | None = None
    for node in cluster.nodes.values() if within is None else within:
        found = candidates_on(node, request, policy)
        if found and (best is None or found[0] < best[0]):
            best = found
    return best[1] if best else []


def candidates_on(node: WorkingNode, request: Request, policy: Policy) -> Scored | None:
    """The best candidates on one node: all devices with the same profile or backing, each on its own GPU.

    GPUs of one model where the node has enough of one; else of several. Where each container has a demand of its own,
    this holds for each, and several may have shares of one GPU.
    """
    if not node.allowed(request) or not node.has_room(request):
        return None
    return (
        _for_containers(node, request, policy)
        if isinstance(request.demand, ContainerDemands)
        else _alike(_offers(node, request, policy), request.demand.devices)
    )


def _for_containers(node: WorkingNode, request: Request, policy: Policy) -> Scored | None:
    def options(copy: WorkingNode, own: Request, removed: frozenset[str]) -> Iterator[ContainerPlace[Score]]:
        groups = _offers(copy, own, policy)
        if own.demand.devices > 1:
            best = _alike(groups, own.demand.devices)
            yield from (ContainerPlace(*best),) if best else ()
            return
        for score, offered in sorted((offer for group in groups.values() for offer in group), key=lambda s: s[0]):
            yield ContainerPlace((score[0], 0.0, *score[1:]), [offered])

    places = ContainerPlaces(node, options, lambda own: size(node, own, policy)).search(request)
    if places is None:
        return None
    score = tuple(map(sum, zip(*(place.price for place in places), strict=True)))
    return score, [candidate for place in places for candidate in place.candidates]


def size(node: WorkingNode, request: Request, policy: Policy) -> float:
    """The least part of a GPU of the node that one device of the request takes; 0 where none of them serves it."""
    options = (option for gpu in node.gpus for _, option in gpu_options(gpu, request.demand, policy))
    return min((part(request.demand, option) for option in options), default=0.0)


def _offers(node: WorkingNode, request: Request, policy: Policy) -> Offers:
    """What each GPU of the node has for one device, by profile or backing and model."""
    groups: Offers = {}
    if not ways(node, request.demand, policy):
        return groups
    spread, used = spreads(policy, node.reported.pool), node.used
    pool = preference(request, node.reported.pool)
    for gpu, served in zip(node.gpus, ways(node, request.demand, policy), strict=False):
        for rank, option in served:
            if offered := _offer(gpu, option):
                candidate, cost = offered
                score = (pool, rank, part(request.demand, option), *tail(spread, used, gpu.used, cost))
                groups.setdefault((rank, candidate.share.profile, gpu.reported.model), []).append((score, candidate))
    return groups


def _alike(groups: Offers, devices: int) -> Scored | None:
    """The best group with enough for all devices."""
    mixed = False
    full = [group for group in groups.values() if len(group) >= devices]
    if not full and devices > 1:
        mixed = True
        full = [group for group in _of_any_model(groups) if len(group) >= devices]
    best = [sorted(group, key=lambda s: s[0])[:devices] for group in full]
    sums = [(tuple(map(sum, zip(*(score for score, _ in group), strict=True))), group) for group in best]
    if not sums:
        return None
    score, group = min(sums, key=lambda s: s[0])
    return (score[0], float(mixed), *score[1:]), [candidate for _, candidate in group]


def _of_any_model(groups: Mapping[GroupKey, list[tuple[Score, Candidate]]]) -> Iterable[list[tuple[Score, Candidate]]]:
    """The candidates of one profile or backing, whatever their model."""
    merged: dict[tuple[int, str | None], list[tuple[Score, Candidate]]] = {}
    for (rank, profile, _), group in groups.items():
        merged.setdefault((rank, profile), []).extend(group)
    return merged.values()


def gpu_options(gpu: WorkingGpu, demand: Demand, policy: Policy) -> tuple[tuple[int, ShareOption], ...]:
    """The ways a GPU of this kind could serve one device, with their rank (software comes last)."""
    rule = policy.memory_rule(gpu.node.reported.pool)
    return () if gpu.reported.fenced else options(gpu.reported, gpu.table, demand, rule)


def ways(node: WorkingNode, demand: Demand, policy: Policy) -> Ways:
    """`gpu_options` of each GPU of the node; () where fewer of them than the demand has devices could serve one."""
    key = (demand, policy.memory_rule(node.reported.pool))
    found: Ways | None = node.ways.get(key)
    if found is None:
        if len(node.ways) >= WAYS_CACHED:
            node.ways.clear()
        found = tuple(gpu_options(gpu, demand, policy) for gpu in node.gpus)
        least = 1 if isinstance(demand, ContainerDemands) else demand.devices
        found = found if sum(map(bool, found)) >= least else ()
        node.ways[key] = found
    return found


def able(node: WorkingNode, demand: Demand, policy: Policy) -> int:
    """The most GPUs of the node that could serve a device each if they were empty, all with one profile or backing.

    Where containers have demands of their own: the GPUs that could serve any of them.
    """
    key = ("able", demand, policy.memory_rule(node.reported.pool))
    if key not in node.ways:
        node.ways[key] = _able([gpu_options(gpu, demand, policy) for gpu in node.gpus], demand)
    most: int = node.ways[key]
    return most


def _able(served: Iterable[Sequence[tuple[int, ShareOption]]], demand: Demand) -> int:
    if isinstance(demand, ContainerDemands):
        return sum(map(bool, served))
    several = Counter((rank, option.profile) for options in served for rank, option in options)
    return max(several.values(), default=0)


def options(gpu: Gpu, table: Table | None, demand: Demand, rule: MemoryRule) -> tuple[tuple[int, ShareOption], ...]:
    """The same for any GPU like this one."""
    return choices(gpu.model, gpu.mig, gpu.memory_mib, table, demand, rule)


def fits_plain(used: int, memory_mib: int, option: ShareOption, gpu: WorkingGpu) -> bool:
    """Whether a share without MIG fits beside `used` millionths and `memory_mib`."""
    return used + millionths(option.portion) <= MILLIONTHS and memory_mib + option.memory_mib <= gpu.reported.memory_mib


def preference(request: Request, pool: str) -> int:
    return request.pools.index(pool) if request.pools else 0


def part(demand: Demand, option: ShareOption) -> float:
    """The part of a GPU that an option takes, as it is compared."""
    return 1.0 if isinstance(demand, WholeGpus) else round(option.portion, 6)


def spreads(policy: Policy, pool: str) -> bool:
    return policy.spreading.get(pool) is Spreading.SPREAD


def tail(spread: bool, node: float, gpu: float, cost: Cost) -> Score:
    """The part of a score that depends on the state of node and GPU (`node`, `gpu`: how much of them is used)."""
    return (node, gpu, *cost) if spread else (*cost, -node, -gpu)


def plain_cost(used: int, option: ShareOption) -> Cost:
    """What a share leaves of a GPU without MIG: the tightest fit is the best."""
    return (MILLIONTHS - used - millionths(option.portion)) / MILLIONTHS, 0


def candidate(gpu: WorkingGpu, option: ShareOption) -> Candidate | None:
    """The best candidate for an option on one GPU as it is now."""
    offered = _offer(gpu, option)
    return offered[0] if offered else None


def _offer(gpu: WorkingGpu, option: ShareOption) -> tuple[Candidate, Cost] | None:
    """The best candidate for an option on one GPU and its cost."""
    if option.profile is None:
        if not fits_plain(gpu.millionths, gpu.memory_mib, option, gpu):
            return None
        return Candidate(gpu, option.share(gpu.reported)), plain_cost(gpu.millionths, option)
    offer = gpu.state.offer(option.profile.name) if gpu.state else None
    if offer is None:
        return None
    place = Candidate(gpu, option.share(gpu.reported, offer.slot.start), offer.destroys, offer.creates)
    return place, offer.cost
