"""Windows: the places on one node that open when some claims have gone, and what is nominated already.

Claims that are leaving anyway cost nothing. A licence says who may go, who goes with whom, and
what it costs; of equal seats the cheapest window is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from solver.disruption.victims import Claims, Cost, Licence
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant, Request
from solver.model.geometry import Placement
from solver.model.snapshot import Policy
from solver.packing.occupancy import Board, Cluster, Host, Occupant, Seat
from solver.packing.scoring import board_options
from solver.packing.tables import MILLIONTHS, Option, Slot, millionths

MayGo = Callable[[str], bool]
EXACT_SHARERS = 8
NOBODY: Claims = frozenset()


@dataclass(frozen=True, slots=True)
class Window:
    """Seats for every device of a request once `gone` (all of them) have left."""

    seats: tuple[Seat, ...]
    gone: Claims = NOBODY


Priced = tuple[Cost, Window]


def on_host(cluster: Cluster, host: Host, request: Request, policy: Policy, licence: Licence) -> Priced | None:
    """The cheapest window on one node, whether it is free now or not, with its cost."""
    if not host.allowed(request):
        return None
    groups: dict[tuple[int, str | None, str], list[Priced]] = {}
    for board in host.boards:
        for rank, option in board_options(board, request.ask, policy):
            found = min(_on_board(cluster, board, option, licence), key=_price, default=None)
            if found:
                groups.setdefault((rank, found[1].seats[0].share.profile, board.gpu.model), []).append(found)
    joined = [priced for group in groups.values() if (priced := _join(group, request.ask.devices, licence))]
    fitting = [priced for priced in joined if host.has_room(request, freed_on(cluster, host, priced[1].gone))]
    return min(fitting, key=_price, default=None)


def _price(priced: Priced) -> Cost:
    return priced[0]


def freed_on(cluster: Cluster, host: Host, gone: Claims) -> list[Request]:
    """The requests among `gone` that hold room on this node."""
    held = (cluster.held[claim] for claim in gone if claim in cluster.held)
    return [holding.request for holding in held if holding.grant.node == host.node.name]


def _join(group: list[Priced], devices: int, licence: Licence) -> Priced | None:
    """One window for several devices, grown GPU by GPU: the one next that adds the least."""
    if len(group) < devices:
        return None
    left = sorted(group, key=_price)
    cost, joined = left.pop(0)
    while len(joined.seats) < devices:
        wider = ((i, joined.gone | window.gone) for i, (_, window) in enumerate(left))
        whole = ((i, joined.gone if gone == joined.gone else licence.complete(gone)) for i, gone in wider)
        allowed = [(licence.cost(gone), i, gone) for i, gone in whole if gone is not None]
        if not allowed:
            return None
        cost, nearest, gone = min(allowed, key=lambda choice: choice[:2])
        joined = Window((*joined.seats, *left.pop(nearest)[1].seats), gone)
    return cost, joined


def _on_board(cluster: Cluster, board: Board, option: Option, licence: Licence) -> Iterator[Priced]:
    """Every window worth considering on one GPU, with all who go."""
    if option.profile is None:
        found = _plain(cluster, board, option, licence.may_go)
    else:
        assert board.table is not None
        slots = board.table.by_profile[option.profile.name]
        found = (window for slot in slots for window in _mig(board, option, slot, licence.may_go))
    for window in found:
        gone = licence.complete(window.gone) if window.gone else NOBODY
        if gone is not None:
            yield licence.cost(gone), Window(window.seats, gone)


def _mig(board: Board, option: Option, slot: Slot, may_go: MayGo) -> Iterator[Window]:
    """The smallest window at one start: its units' holders, and more only where media engines demand it."""
    blocking = [o for o in board.occupants if o.mask & slot.mask]
    if not all(o.claim is not None and may_go(o.claim) for o in blocking):
        return
    others = [o for o in board.occupants if o not in blocking and o.claim is not None and may_go(o.claim)]
    for count in range(len(others) + 1):
        for more in combinations(others, count):
            gone = (*blocking, *more)
            idle = board.left_behind(gone)
            kept = [o for o in board.occupants if o not in gone]
            reused = Placement(slot.profile.name, slot.start) in idle
            destroys = () if reused else board.in_the_way(slot, kept, idle)
            if destroys is not None:
                seat = Seat(board, option.share(board.gpu, slot.start), destroys, not reused)
                yield Window((seat,), frozenset(o.claim for o in gone if o.claim))
        if count == 0 and not _media_bound(board, slot, blocking):
            return


def _media_bound(board: Board, slot: Slot, blocking: list[Occupant]) -> bool:
    """Whether units are not what is missing: the start is free of holders, its media engines are not."""
    kept = [o for o in board.occupants if o not in blocking]
    return board.in_the_way(slot, kept, []) is None


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
    """Every smallest set of `staying` that ends the lack; where there are many of them, only the largest ones."""
    if not lack:
        yield ()
        return
    if lack - staying:
        return
    if len(staying) > EXACT_SHARERS:
        largest = sorted(staying, key=lambda o: (-o.millionths, -o.memory_mib))
        yield next(tuple(largest[:n]) for n in range(len(largest) + 1) if not lack - largest[:n])
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
