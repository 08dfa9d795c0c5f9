"""One request at a time: every legal place is scored, the best is taken.

Scores compare in this order: node pool preference, MIG before software, the preferred profile, the
smaller part of a GPU, then for packing (binpack) fewest creates and destroys, most room left, the
fullest node and GPU; for spreading the emptiest node and GPU first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from solver.model.cluster import Backing
from solver.model.demand import Request, WholeGpus
from solver.model.geometry import Placement
from solver.model.snapshot import Policy, Spreading
from solver.packing.occupancy import Board, Cluster, Host, Seat
from solver.packing.tables import MILLIONTHS, Option, millionths, plain_option

Score = tuple[float, ...]
GroupKey = tuple[int, str | None, str]


def best_seats(cluster: Cluster, request: Request, policy: Policy, within: Iterable[Host] | None = None) -> list[Seat]:
    """The best place that is free now for every device of the request, all on one node; [] where there is none."""
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
    for board in host.boards:
        best: dict[GroupKey, tuple[Score, Seat]] = {}
        for rank, seat in _seats(board, request, policy):
            scored = (_score(seat, rank, request, policy), seat)
            key = (rank, seat.share.profile, board.gpu.model)
            if key not in best or scored[0] < best[key][0]:
                best[key] = scored
        for key, scored in best.items():
            groups.setdefault(key, []).append(scored)
    devices = request.ask.devices
    full = [sorted(group, key=lambda s: s[0])[:devices] for group in groups.values() if len(group) >= devices]
    sums = [(tuple(map(sum, zip(*(score for score, _ in group), strict=True))), group) for group in full]
    if not sums:
        return None
    score, group = min(sums, key=lambda s: s[0])
    return score, [seat for _, seat in group]


def board_options(board: Board, request: Request, policy: Policy) -> tuple[tuple[int, Option], ...]:
    """The ways a GPU of this kind could serve one device, with their rank (software comes last)."""
    if board.gpu.fenced:
        return ()
    if board.gpu.mig:
        return tuple(enumerate(board.table.mig_options(request.ask, policy.memory_rule))) if board.table else ()
    option = plain_option(request.ask, board.gpu.memory_mib)
    return ((9, option),) if option else ()


def _seats(board: Board, request: Request, policy: Policy) -> Iterator[tuple[int, Seat]]:
    for rank, option in board_options(board, request, policy):
        if option.profile is None:
            if fits_plain(board.millionths, board.memory_mib, option, board):
                yield rank, Seat(board, option.share(board.gpu))
            continue
        assert board.table is not None
        for slot in board.table.by_profile[option.profile.name]:
            if slot.mask & board.mask:
                continue
            reused = Placement(slot.profile.name, slot.start) in board.idle
            destroys = () if reused else board.in_the_way(slot, board.occupants, board.idle)
            if destroys is not None:
                yield rank, Seat(board, option.share(board.gpu, slot.start), destroys, not reused)


def fits_plain(used: int, memory_mib: int, option: Option, board: Board) -> bool:
    """Whether a share without MIG fits beside `used` millionths and `memory_mib`."""
    return used + millionths(option.portion) <= MILLIONTHS and memory_mib + option.memory_mib <= board.gpu.memory_mib


def _score(seat: Seat, rank: int, request: Request, policy: Policy) -> Score:
    board, share = seat.board, seat.share
    pool = request.pools.index(board.host.node.pool) if request.pools else 0
    portion = share.portion if share.backing is Backing.MIG or not isinstance(request.ask, WholeGpus) else 1.0
    head = (pool, rank, round(portion, 6))
    work = (len(seat.destroys) + seat.creates, _room_lost(seat))
    if policy.spreading.get(board.host.node.pool) is Spreading.SPREAD:
        return (*head, board.host.used, board.used, *work)
    return (*head, *work, -board.host.used, -board.used)


def _room_lost(seat: Seat) -> float:
    """Slots that the seat closes; without MIG, what it leaves of the GPU (the tightest fit first)."""
    board, share = seat.board, seat.share
    if board.table is None or share.start is None:
        return (MILLIONTHS - board.millionths - millionths(share.portion)) / MILLIONTHS
    mask = ((1 << share.size) - 1) << share.start
    return board.table.room(board.mask) - board.table.room(board.mask | mask)
