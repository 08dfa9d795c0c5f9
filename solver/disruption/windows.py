"""Windows: places that open when some claims have gone, cheapest first.

The same search serves preemption (only legal victims may go) and explanations (anyone may). A
window costs fewest claims first, then the lowest priorities, then the newest holders. Claims that
are leaving anyway cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant, Request
from solver.model.geometry import Placement
from solver.model.snapshot import Policy
from solver.packing.occupancy import Board, Cluster, Host, Occupant, Seat
from solver.packing.online import board_options, fits_plain
from solver.packing.tables import Option, Slot

MayGo = Callable[[str], bool]
Cost = tuple[object, ...]
EXACT_SHARERS = 12


@dataclass(frozen=True, slots=True)
class Window:
    """Seats for every device of a request once `gone` (all of them) have left."""

    seats: tuple[Seat, ...]
    gone: frozenset[str]


def cheapest(
    cluster: Cluster, request: Request, policy: Policy, may_go: MayGo, within: Iterable[Host] | None = None
) -> Window | None:
    """The cheapest window anywhere the request is allowed; None where no set of `may_go` claims opens one."""
    found = (
        window
        for host in (cluster.hosts.values() if within is None else within)
        if host.allowed(request)
        for window in _on_host(cluster, host, request, policy, may_go)
    )
    return min(found, key=lambda w: cost(cluster, w.gone), default=None)


def cost(cluster: Cluster, gone: frozenset[str]) -> Cost:
    """What it costs that these claims go: how many, how important, how old."""
    counted = [cluster.held[c] for c in gone - cluster.leaving if c in cluster.held]
    unknown = len(gone - cluster.leaving) - len(counted)
    ranked = sorted(((h.request.priority, -h.since, h.request.claim) for h in counted), reverse=True)
    return (len(counted) + unknown, unknown, ranked, len(gone))


def _on_host(cluster: Cluster, host: Host, request: Request, policy: Policy, may_go: MayGo) -> Iterator[Window]:
    """The best window of each profile or backing, growing it GPU by GPU for several devices."""
    groups: dict[tuple[int, str | None, str], list[Window]] = {}
    for board in host.boards:
        for rank, option in board_options(board, request, policy):
            found = min(_on_board(cluster, board, option, may_go), key=lambda w: cost(cluster, w.gone), default=None)
            if found:
                groups.setdefault((rank, found.seats[0].share.profile, board.gpu.model), []).append(found)
    for group in groups.values():
        window = _join(cluster, group, request.ask.devices)
        freed = [cluster.held[c].request for c in window.gone if c in cluster.held] if window else []
        if window and host.has_room(request, freed):
            yield window


def _join(cluster: Cluster, group: list[Window], devices: int) -> Window | None:
    if len(group) < devices:
        return None
    joined = Window((), frozenset())
    left = list(group)
    for _ in range(devices):
        gone = joined.gone
        nearest = min(left, key=lambda w: cost(cluster, w.gone | gone))
        left.remove(nearest)
        joined = Window((*joined.seats, *nearest.seats), gone | nearest.gone)
    return joined


def _on_board(cluster: Cluster, board: Board, option: Option, may_go: MayGo) -> Iterator[Window]:
    if option.profile is None:
        yield from _plain(cluster, board, option, may_go)
        return
    assert board.table is not None
    for slot in board.table.by_profile[option.profile.name]:
        yield from _mig(board, option, slot, may_go)


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
    """The fewest sharers whose going leaves enough of a GPU without MIG; those leaving anyway go first."""
    movable = [o for o in board.occupants if o.claim is not None and may_go(o.claim)]
    leaving = [o for o in movable if o.claim in cluster.leaving]
    staying = [o for o in movable if o.claim not in cluster.leaving]
    staying.sort(key=lambda o: (-o.millionths, -o.memory_mib))
    for count in range(len(staying) + 1):
        if not _leaves_room(board, option, [*leaving, *staying[:count]]):
            continue
        exact = len(staying) <= EXACT_SHARERS
        for gone in combinations(staying, count) if exact else [tuple(staying[:count])]:
            if _leaves_room(board, option, [*leaving, *gone]):
                needed = _without_surplus(board, option, leaving, gone)
                yield Window((Seat(board, option.share(board.gpu)),), frozenset(o.claim for o in needed if o.claim))
        return


def _without_surplus(
    board: Board, option: Option, leaving: list[Occupant], gone: tuple[Occupant, ...]
) -> list[Occupant]:
    """`gone`, and of those leaving only whom it takes."""
    needed = list(leaving)
    for occupant in leaving:
        fewer = [o for o in needed if o is not occupant]
        if _leaves_room(board, option, [*fewer, *gone]):
            needed = fewer
    return [*needed, *gone]


def _leaves_room(board: Board, option: Option, gone: Iterable[Occupant]) -> bool:
    left = [o for o in board.occupants if o not in gone]
    return fits_plain(sum(o.millionths for o in left), sum(o.memory_mib for o in left), option, board)


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
