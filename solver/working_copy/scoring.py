"""What makes one place better than another, and the best seats of one node.

Scores compare in this order: node pool preference, MIG before software, the preferred profile, the
smaller part of a GPU, then for packing (binpack) the least room closed (creates,
destroys and holders count as some), the fullest node and GPU; for spreading the emptiest node and GPU first.
"""

from __future__ import annotations

from collections.abc import Iterable

from solver.gpu_tables.choices import choices
from solver.gpu_tables.states import Cost
from solver.gpu_tables.tables import MILLIONTHS, Option, Table, millionths
from solver.model.cluster import Gpu
from solver.model.demand import Demand, Request, WholeGpus
from solver.model.snapshot import Policy, Spreading
from solver.working_copy.occupancy import Board, Cluster, Host, Seat

Score = tuple[float, ...]
GroupKey = tuple[int, str | None, str]


def best_seats(cluster: Cluster, request: Request, policy: Policy, within: Iterable[Host] | None = None) -> list[Seat]:
    """The best place that is free now for every device of the request, all on one node; [] where there is none.

    Looks at every node: what the indexed search must agree with.
    """
    best: tuple[Score, list[Seat]] | None = None
    for host in cluster.hosts.values() if within is None else within:
        found = seats_on(host, request, policy)
        if found and (best is None or found[0] < best[0]):
            best = found
    return best[1] if best else []


def seats_on(host: Host, request: Request, policy: Policy) -> tuple[Score, list[Seat]] | None:
    """The best seats on one node: all devices with the same profile or backing, each on its own GPU."""
    if not host.allowed(request) or not host.has_room(request):
        return None
    groups: dict[GroupKey, list[tuple[Score, Seat]]] = {}
    spread, used = spreads(policy, host.node.pool), host.used
    pool = preference(request, host.node.pool)
    for board in host.boards:
        for rank, option in board_options(board, request.demand, policy):
            if offered := _offer(board, option):
                seat, cost = offered
                score = (pool, rank, part(request.demand, option), *tail(spread, used, board.used, cost))
                groups.setdefault((rank, seat.share.profile, board.gpu.model), []).append((score, seat))
    devices = request.demand.devices
    full = [sorted(group, key=lambda s: s[0])[:devices] for group in groups.values() if len(group) >= devices]
    sums = [(tuple(map(sum, zip(*(score for score, _ in group), strict=True))), group) for group in full]
    if not sums:
        return None
    score, group = min(sums, key=lambda s: s[0])
    return score, [seat for _, seat in group]


def board_options(board: Board, demand: Demand, policy: Policy) -> tuple[tuple[int, Option], ...]:
    """The ways a GPU of this kind could serve one device, with their rank (software comes last)."""
    return () if board.gpu.fenced else options(board.gpu, board.table, demand, policy)


def options(gpu: Gpu, table: Table | None, demand: Demand, policy: Policy) -> tuple[tuple[int, Option], ...]:
    """The same for any GPU like this one."""
    return choices(gpu.mig, gpu.memory_mib, table, demand, policy)


def fits_plain(used: int, memory_mib: int, option: Option, board: Board) -> bool:
    """Whether a share without MIG fits beside `used` millionths and `memory_mib`."""
    return used + millionths(option.portion) <= MILLIONTHS and memory_mib + option.memory_mib <= board.gpu.memory_mib


def preference(request: Request, pool: str) -> int:
    return request.pools.index(pool) if request.pools else 0


def part(demand: Demand, option: Option) -> float:
    """The part of a GPU that an option takes, as it is compared."""
    return 1.0 if isinstance(demand, WholeGpus) else round(option.portion, 6)


def spreads(policy: Policy, pool: str) -> bool:
    return policy.spreading.get(pool) is Spreading.SPREAD


def tail(spread: bool, node: float, gpu: float, cost: Cost) -> Score:
    """The part of a score that depends on the state of node and GPU (`node`, `gpu`: how much of them is used)."""
    return (node, gpu, *cost) if spread else (*cost, -node, -gpu)


def plain_cost(used: int, option: Option) -> Cost:
    """What a share leaves of a GPU without MIG: the tightest fit is the best."""
    return (MILLIONTHS - used - millionths(option.portion)) / MILLIONTHS, 0


def seat(board: Board, option: Option) -> Seat | None:
    """The best seat for an option on one GPU as it is now."""
    offered = _offer(board, option)
    return offered[0] if offered else None


def _offer(board: Board, option: Option) -> tuple[Seat, Cost] | None:
    """The best seat for an option on one GPU and its cost."""
    if option.profile is None:
        if not fits_plain(board.millionths, board.memory_mib, option, board):
            return None
        return Seat(board, option.share(board.gpu)), plain_cost(board.millionths, option)
    offer = board.state.offer(option.profile.name) if board.state else None
    if offer is None:
        return None
    place = Seat(board, option.share(board.gpu, offer.slot.start), offer.destroys, offer.creates)
    return place, offer.cost
