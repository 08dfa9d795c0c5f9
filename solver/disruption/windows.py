"""Windows: the places on one node that open when some claims have gone, and what is nominated already.

Claims that are leaving anyway cost nothing. A licence says who may go, who goes with whom, and
what it costs; of equal seats the cheapest window is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from solver.disruption import joining
from solver.disruption.cover import fewest
from solver.disruption.joining import Joiner, worth_keeping
from solver.disruption.victims import Claims, Cost, Licence
from solver.gpu_tables.tables import Option, Slot
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant, Request
from solver.model.geometry import Placement
from solver.model.occupation import MILLIONTHS, millionths
from solver.model.snapshot import Policy
from solver.working_copy.occupancy import Board, Cluster, Host, Occupant, Seat
from solver.working_copy.scoring import board_options

MayGo = Callable[[str], bool]
EXACT_SHARERS = 8
NOBODY: Claims = frozenset()


@dataclass(frozen=True, slots=True)
class Window:
    """Seats for every device of a request once `gone` (all of them) have left."""

    seats: tuple[Seat, ...]
    gone: Claims = NOBODY


Priced = tuple[Cost, Window]
GroupKey = tuple[int, str | None, str]


def on_host(cluster: Cluster, host: Host, request: Request, policy: Policy, licence: Licence) -> Priced | None:
    """The cheapest window on one node, whether it is free now or not, with its cost.

    Who must go for the node's CPU, memory and neighbours goes with it.
    """
    groups = _options(cluster, host, request, policy, licence)
    if not groups:
        return None
    joiner = Joiner(request.demand.devices, licence, _finisher(cluster, host, request, licence))
    for gpus in groups:
        joiner.search(gpus if request.demand.devices == 1 or not host.has_room(request) else worth_keeping(gpus))
    if joiner.best is None:
        return None
    cost, seats, gone = joiner.best
    return cost, Window(seats, gone)


def every(cluster: Cluster, host: Host, request: Request, policy: Policy, licence: Licence) -> Iterator[Priced]:
    """All windows on one node for one device; for several devices the cheapest one."""
    if request.demand.devices > 1:
        best = on_host(cluster, host, request, policy, licence)
        yield from (best,) if best else ()
        return
    finish = _finisher(cluster, host, request, licence)
    for gpus in _options(cluster, host, request, policy, licence):
        for option in (option for options in gpus for option in options):
            if whole := finish((option.seat,), option.gone):
                yield whole[0], Window((option.seat,), whole[1])


def _options(
    cluster: Cluster, host: Host, request: Request, policy: Policy, licence: Licence
) -> list[list[list[joining.Option]]]:
    """Seats that go together (one profile or backing, one model), by GPU, the cheapest first."""
    groups: dict[GroupKey, list[list[joining.Option]]] = {}
    for number, board in enumerate(host.boards if host.allowed(request) else ()):
        for rank, option in board_options(board, request.demand, policy):
            found = [
                joining.Option(number, window.seats[0], window.gone, cost)
                for cost, window in sorted(_on_board(cluster, board, option, licence), key=_price)
            ]
            if found:
                key = (rank, option.profile.name if option.profile else None, board.gpu.model)
                groups.setdefault(key, []).append(found)
    return list(groups.values())


def _price(priced: Priced) -> Cost:
    return priced[0]


def _finisher(
    cluster: Cluster, host: Host, request: Request, licence: Licence
) -> Callable[[tuple[Seat, ...], Claims], tuple[Cost, Claims] | None]:
    """Adds the fewest more to go, so that CPU, memory and neighbours leave room; None where none suffice."""

    def finish(seats: tuple[Seat, ...], gone: Claims) -> tuple[Cost, Claims] | None:
        freed = freed_on(cluster, host, gone)
        if host.has_room(request, freed):
            return licence.cost(gone), gone
        others = [cluster.held[c].request for c in _holders(cluster, host) - gone if licence.may_go(c)]
        kin = [r for r in others if request.anti_affinity is not None and r.anti_affinity == request.anti_affinity]
        rest = sorted((r for r in others if r not in kin), key=lambda r: licence.cost(frozenset((r.claim,))))
        chosen = fewest(host.lack(request, (*freed, *kin)), [(r.cpu_milli, r.memory_mib) for r in rest])
        more = (*kin, *(rest[i] for i in chosen or ()))
        if chosen is None or not host.has_room(request, (*freed, *more)):
            return None
        everyone = licence.complete(gone | {r.claim for r in more})
        return (licence.cost(everyone), everyone) if everyone is not None else None

    return finish


def _holders(cluster: Cluster, host: Host) -> Claims:
    return frozenset(o.claim for board in host.boards for o in board.occupants if o.claim in cluster.held and o.claim)


def freed_on(cluster: Cluster, host: Host, gone: Claims) -> list[Request]:
    """The requests among `gone` that hold room on this node."""
    held = (cluster.held[claim] for claim in gone if claim in cluster.held)
    return [holding.request for holding in held if holding.grant.node == host.node.name]


def _on_board(cluster: Cluster, board: Board, option: Option, licence: Licence) -> Iterator[Priced]:
    """Every window worth considering on one GPU, with all who go."""
    if option.profile is None:
        found = _plain(cluster, board, option, licence.may_go)
    else:
        assert board.table is not None
        slots = board.table.by_profile[option.profile.name]
        found = (window for slot in slots for window in _mig(board, option, slot, licence.may_go))
    prices: dict[Claims, tuple[Cost, Claims] | None] = {}
    for window in found:
        if window.gone not in prices:
            gone = licence.complete(window.gone) if window.gone else NOBODY
            prices[window.gone] = (licence.cost(gone), gone) if gone is not None else None
        if priced := prices[window.gone]:
            yield priced[0], Window(window.seats, priced[1])


def _mig(board: Board, option: Option, slot: Slot, may_go: MayGo) -> Iterator[Window]:
    """The smallest window at one start: its units' holders, and more only where media engines demand it."""
    blocking = [o for o in board.occupants if o.mask & slot.mask]
    if not all(o.claim is not None and may_go(o.claim) for o in blocking):
        return
    rest = [o for o in board.occupants if not o.mask & slot.mask]
    if seat := _seat(board, option, slot, blocking, rest):
        yield Window((seat,), frozenset(o.claim for o in blocking if o.claim))
        return
    others = [o for o in rest if o.claim is not None and may_go(o.claim)]
    for count in range(1, len(others) + 1):
        for more in combinations(others, count):
            gone = [*blocking, *more]
            if seat := _seat(board, option, slot, gone, [o for o in rest if o not in more]):
                yield Window((seat,), frozenset(o.claim for o in gone if o.claim))


def _seat(board: Board, option: Option, slot: Slot, gone: list[Occupant], kept: list[Occupant]) -> Seat | None:
    """The slot once these have gone, and what must be destroyed for it; None where media engines forbid it."""
    idle = board.left_behind(gone)
    reused = Placement(slot.profile.name, slot.start) in idle
    destroys = () if reused else board.in_the_way(slot, kept, idle)
    return None if destroys is None else Seat(board, option.share(board.gpu, slot.start), destroys, not reused)


def _plain(cluster: Cluster, board: Board, option: Option, may_go: MayGo) -> Iterator[Window]:
    """Sets of sharers, none larger than it must be, whose going leaves enough of a GPU without MIG."""
    lack = _Lack(
        board.millionths + millionths(option.portion) - MILLIONTHS,
        board.memory_mib + option.memory_mib - board.gpu.memory_mib,
    )
    movable = [o for o in board.occupants if o.claim is not None and may_go(o.claim)] if lack else []
    leaving = [o for o in movable if o.claim in cluster.leaving]
    staying = [o for o in movable if o.claim not in cluster.leaving]
    for gone in _sufficient(lack - leaving, staying):
        needed = _without_surplus(lack - gone, leaving)
        claims = frozenset(o.claim for o in (*needed, *gone) if o.claim)
        yield Window((Seat(board, option.share(board.gpu)),), claims)


@dataclass(frozen=True, slots=True)
class _Lack:
    """What is missing of a GPU without MIG for one more share. False: nothing."""

    millionths: int
    memory_mib: int

    def __bool__(self) -> bool:
        return self.millionths > 0 or self.memory_mib > 0

    def __sub__(self, gone: Iterable[Occupant]) -> _Lack:
        """What is still missing when these have gone."""
        left = tuple(gone)
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
        for gone in combinations(staying, count):
            if not any(less <= set(gone) for less in found) and not lack - gone:
                found.append(set(gone))
                yield gone


def _without_surplus(lack: _Lack, leaving: list[Occupant]) -> list[Occupant]:
    """Of those leaving anyway only whom it takes."""
    needed = list(leaving)
    for occupant in leaving:
        fewer = [o for o in needed if o is not occupant]
        if not lack - fewer:
            needed = fewer
    return needed


def of_grant(cluster: Cluster, request: Request, grant: Grant) -> Window | None:
    """The window that a grant describes, if only claims that are leaving stand in it; None where it is lost."""
    host = cluster.hosts.get(grant.node)
    if host is None or not host.allowed(request):
        return None
    windows = [_of_share(cluster, share) for share in grant.devices]
    found = [window for window in windows if window]
    gone = frozenset[str]().union(*(window.gone for window in found))
    freed = [cluster.held[c].request for c in gone if c in cluster.held]
    if len(found) < len(windows) or not host.has_room(request, freed):
        return None
    return Window(tuple(seat for window in found for seat in window.seats), gone)


def _of_share(cluster: Cluster, share: DeviceShare) -> Window | None:
    board = cluster.boards.get(share.gpu)
    if board is None or board.gpu.fenced or board.gpu.mig != (share.backing is Backing.MIG):
        return None
    profile = board.table.model.profile(share.profile) if board.table and share.profile else None
    option = Option(share.backing, share.portion, share.memory_mib, profile)

    def leaving(claim: str) -> bool:
        return claim in cluster.leaving

    if share.backing is not Backing.MIG:
        return next(_plain(cluster, board, option, leaving), None)
    slots = board.table.by_profile.get(share.profile or "", ()) if board.table else ()
    return next((w for slot in slots if slot.start == share.start for w in _mig(board, option, slot, leaving)), None)
