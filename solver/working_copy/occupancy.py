"""A working copy of a snapshot: what is taken, what is idle and what a plan has given out so far.

`Cluster.of(snapshot)` is the only place that reads occupation out of a snapshot. A board is a GPU
at work in a plan, a host a node. What a claim holds is laid over what its node reports: an
allocation that is not prepared yet occupies its place already.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Any

from solver.gpu_tables.states import State, state_of
from solver.gpu_tables.tables import MILLIONTHS, Slot, Table, millionths, table
from solver.model.cluster import Backing, Gpu, InstanceState, Node
from solver.model.demand import DeviceShare, Grant, Holding, Request
from solver.model.geometry import Placement, legal
from solver.model.snapshot import Snapshot
from solver.quota.pools import allows

BOARD_FIELDS = ("occupants", "idle", "spent", "mask", "millionths", "memory_mib", "known")
HOST_FIELDS = ("cpu_milli", "memory_mib", "keys")


@dataclass(frozen=True, slots=True)
class Occupant:
    """Something on a GPU that is neither idle nor free. `claim` None: foreign, quarantined or nobody's.

    A MIG instance has a profile, a start and a mask; a share without MIG has millionths and MiB.
    """

    claim: str | None
    profile: str | None = None
    start: int | None = None
    mask: int = 0
    millionths: int = 0
    memory_mib: int = 0

    @property
    def place(self) -> Placement | None:
        return None if self.profile is None or self.start is None else Placement(self.profile, self.start)

    @property
    def text(self) -> str:
        return f"{self.profile}@{self.start}" if self.profile else "whole GPU"


@dataclass(slots=True, eq=False)
class Board:
    """One GPU. `mask` covers the units of all occupants; `idle` are instances that may be reused or destroyed.

    spent: instances of those leaving that a newcomer of this plan takes over or destroys.
    known: the state, while nothing has changed since it was looked up.
    """

    gpu: Gpu
    host: Host
    table: Table | None
    occupants: list[Occupant] = field(default_factory=list)
    idle: list[Placement] = field(default_factory=list)
    spent: tuple[Placement, ...] = ()
    mask: int = 0
    millionths: int = 0
    memory_mib: int = 0
    known: State | None = None

    @property
    def used(self) -> float:
        """The part of the GPU that is taken, 0 to 1."""
        units = self.table.model.units if self.table else 0
        return self.mask.bit_count() / units if units else self.millionths / MILLIONTHS

    def add(self, occupant: Occupant) -> None:
        self.known = None
        self.occupants.append(occupant)
        self.mask |= occupant.mask
        self.millionths += occupant.millionths
        self.memory_mib += occupant.memory_mib
        self.idle = [i for i in self.idle if not self.mask_of(i) & occupant.mask]

    def remove(self, claim: str) -> None:
        """The holder has gone: its units are free, its instances idle."""
        gone = [o for o in self.occupants if o.claim == claim]
        self.idle = [*self.idle, *(o.place for o in gone if o.place)]
        self.occupants = [o for o in self.occupants if o.claim != claim]
        for occupant in gone:
            self.mask &= ~occupant.mask
            self.millionths -= occupant.millionths
            self.memory_mib -= occupant.memory_mib
        self.known = None

    def spend(self, newcomer: Occupant, leaving: Set[str]) -> None:
        """The instances of those leaving that cannot stand beside a newcomer are its to take over or destroy."""
        here = [o.place for o in self.occupants if o.claim in leaving and o.place]
        if self.table and newcomer.place:
            self.spent = (*self.spent, *(p for p in here if not legal(self.table.model, (p, newcomer.place))))

    def mask_of(self, instance: Placement) -> int:
        return self.table.mask_of(instance) if self.table else 0

    @property
    def state(self) -> State | None:
        """What the GPU can offer as it is now; None without MIG."""
        if self.known is None and self.table:
            names = tuple(sorted(o.profile for o in self.occupants if o.profile))
            idle = tuple(sorted(self.idle, key=lambda i: (i.start, i.profile)))
            self.known = state_of(self.table, self.mask, names, idle)
        return self.known

    def left_behind(self, gone: Iterable[Occupant]) -> list[Placement]:
        """Instances that may be reused or destroyed once these occupants have gone."""
        return [*self.idle, *(o.place for o in gone if o.place and o.place not in self.spent)]

    def in_the_way(self, slot: Slot, kept: list[Occupant], idle: list[Placement]) -> tuple[Placement, ...] | None:
        """The fewest idle instances to destroy so that `slot` is legal beside `kept`; None: it never is."""
        assert self.table is not None
        mask = 0
        for occupant in kept:
            mask |= occupant.mask
        return self.table.in_the_way(slot, mask, (o.profile for o in kept if o.profile), idle)


@dataclass(slots=True, eq=False)
class Host:
    """One node, with the host resources that are still free (None: not counted)."""

    node: Node
    boards: list[Board] = field(default_factory=list)
    cpu_milli: int | None = None
    memory_mib: int | None = None
    keys: tuple[str, ...] = ()

    @property
    def used(self) -> float:
        return sum(board.used for board in self.boards)

    def allowed(self, request: Request) -> bool:
        """Whether the node may run the request at all, whatever runs there now."""
        return self.node.ready and allows(self.node, request)

    def lack(self, request: Request, freed: Iterable[Request]) -> tuple[int, int]:
        """CPU and memory that are missing for it, once the holders of `freed` have gone; 0 or less: nothing."""
        gone = tuple(freed)
        cpu = None if self.cpu_milli is None else self.cpu_milli + sum(r.cpu_milli for r in gone)
        memory = None if self.memory_mib is None else self.memory_mib + sum(r.memory_mib for r in gone)
        return 0 if cpu is None else request.cpu_milli - cpu, 0 if memory is None else request.memory_mib - memory

    def has_room(self, request: Request, freed: Iterable[Request] = ()) -> bool:
        """Whether CPU, memory and neighbours leave room for it, once the holders of `freed` have gone."""
        gone = tuple(freed)
        keys = list(self.keys)
        for other in gone:
            if other.anti_affinity in keys:
                keys.remove(other.anti_affinity)
        return max(self.lack(request, gone)) <= 0 and request.anti_affinity not in keys


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for one device of a request, and what must happen to the GPU before it is taken."""

    board: Board
    share: DeviceShare
    destroys: tuple[Placement, ...] = ()
    creates: bool = False

    @property
    def instance(self) -> tuple[Placement, ...]:
        """The MIG instance it stands on, if any."""
        share = self.share
        return () if share.profile is None or share.start is None else (Placement(share.profile, share.start),)


class Cluster:
    """Every host and board, who holds what, and who is leaving (told to stop, or evicted by the plan).

    changes: names of the nodes on which something changed, one after another.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.hosts = {node.name: Host(node, [], node.cpu_milli, node.memory_mib) for node in snapshot.nodes}
        tables = {name: table(model) for name, model in snapshot.models.items()}
        self.boards = {
            gpu.uuid: _board(gpu, host, tables.get(gpu.model))
            for gpu in snapshot.gpus
            if (host := self.hosts.get(gpu.node))
        }
        self.held = {holding.request.claim: holding for holding in snapshot.held}
        self.leaving = {holding.request.claim for holding in snapshot.held if holding.releasing}
        self.changes: list[str] = []
        self._undo: list[tuple[Board | Host | Cluster, dict[str, Any]]] = []
        for holding in snapshot.held:
            self._lay(holding)

    def _lay(self, holding: Holding) -> None:
        """Put a held grant over what the node reports, and its affinity key on the host."""
        for share in holding.grant.devices:
            board = self.boards.get(share.gpu)
            if board and not any(o.claim == holding.request.claim for o in board.occupants):
                newcomer = occupant_of(holding.request.claim, share, board)
                board.spend(newcomer, self.leaving)
                board.add(newcomer)
        host = self.hosts.get(holding.grant.node)
        if host and holding.request.anti_affinity is not None:
            host.keys = (*host.keys, holding.request.anti_affinity)

    def take(self, request: Request, seats: Iterable[Seat], evicts: Iterable[str] = ()) -> Grant:
        """Give the seats out: nobody after this one may have their room."""
        chosen = tuple(seats)
        for seat in chosen:
            self._remember(seat.board, *BOARD_FIELDS)
            seat.board.idle = [i for i in seat.board.idle if i not in seat.destroys]
            seat.board.spent = (*seat.board.spent, *seat.destroys, *seat.instance)
            seat.board.occupants = list(seat.board.occupants)
            seat.board.add(occupant_of(request.claim, seat.share, seat.board))
        host = chosen[0].board.host
        self._remember(host, *HOST_FIELDS)
        host.cpu_milli = None if host.cpu_milli is None else host.cpu_milli - request.cpu_milli
        host.memory_mib = None if host.memory_mib is None else host.memory_mib - request.memory_mib
        host.keys = (*host.keys, request.anti_affinity) if request.anti_affinity is not None else host.keys
        self.part(evicts)
        return Grant(host.node.name, tuple(seat.share for seat in chosen))

    def keep(self, request: Request, seats: Iterable[Seat]) -> None:
        """Give seats out for later. Nothing is destroyed for them yet, so that stays in the way of all."""
        chosen = tuple(seats)
        self.take(request, chosen)
        for seat in chosen:
            for instance in seat.destroys:
                mask = seat.board.mask_of(instance)
                seat.board.add(Occupant(request.claim, instance.profile, instance.start, mask))

    def part(self, claims: Iterable[str]) -> None:
        """Count these claims among those that are leaving."""
        leave = [claim for claim in claims if claim not in self.leaving]
        if leave:
            self._remember(self, "leaving")
            self.leaving = self.leaving | set(leave)
            self._note_leaving(leave)

    def _remember(self, thing: Board | Host | Cluster, *names: str) -> None:
        self._undo.append((thing, {name: getattr(thing, name) for name in names}))
        self._note(thing)

    def _note(self, thing: Board | Host | Cluster) -> None:
        if not isinstance(thing, Cluster):
            self.changes.append((thing.host if isinstance(thing, Board) else thing).node.name)

    def _note_leaving(self, claims: Iterable[str]) -> None:
        self.changes += (self.held[claim].grant.node for claim in claims)

    def hold(self, holding: Holding) -> None:
        """Make a share that was taken (under the same claim) a held one. It cannot be taken back any more."""
        self.held[holding.request.claim] = holding
        for thing, _ in self._undo:
            if isinstance(thing, Board):
                thing.spent = ()
        self._undo.clear()

    def release(self, claim: str) -> None:
        """A holder has gone for good: its MIG instances stay behind, idle."""
        holding = self.held.pop(claim)
        request, host = holding.request, self.hosts[holding.grant.node]
        for share in holding.grant.devices:
            self.boards[share.gpu].remove(claim)
        host.cpu_milli = None if host.cpu_milli is None else host.cpu_milli + request.cpu_milli
        host.memory_mib = None if host.memory_mib is None else host.memory_mib + request.memory_mib
        if request.anti_affinity is not None:
            keys = list(host.keys)
            keys.remove(request.anti_affinity)
            host.keys = tuple(keys)
        self.leaving = self.leaving - {claim} if claim in self.leaving else self.leaving
        self._note(host)

    def mark(self) -> int:
        """A moment to go back to with `undo`."""
        return len(self._undo)

    def undo(self, mark: int) -> None:
        """Take back all that was given out since `mark`."""
        while len(self._undo) > mark:
            thing, before = self._undo.pop()
            if "leaving" in before:
                self._note_leaving(self.leaving - before["leaving"])
            for name, value in before.items():
                setattr(thing, name, value)
            self._note(thing)


def _board(gpu: Gpu, host: Host, known: Table | None) -> Board:
    board = Board(gpu, host, known if gpu.mig else None)
    host.boards.append(board)
    for instance in gpu.instances:
        claim = instance.claim if instance.state is InstanceState.BUSY else None
        if instance.state is InstanceState.IDLE and board.table and instance.profile in board.table.by_profile:
            board.idle.append(Placement(instance.profile, instance.start))
        else:
            board.add(Occupant(claim, instance.profile, instance.start, instance.mask))
    for part in gpu.parts:
        board.add(Occupant(part.claim, None, None, 0, millionths(part.portion), part.memory_mib))
    if gpu.held_by:
        board.add(Occupant(gpu.held_by, None, None, 0, MILLIONTHS, gpu.memory_mib))
    return board


def occupant_of(claim: str, share: DeviceShare, board: Board) -> Occupant:
    """What the share takes of its GPU."""
    if share.backing is Backing.MIG:
        assert share.start is not None
        return Occupant(claim, share.profile, share.start, ((1 << share.size) - 1) << share.start)
    if share.backing is Backing.WHOLE:
        return Occupant(claim, None, None, 0, MILLIONTHS, board.gpu.memory_mib)
    return Occupant(claim, None, None, 0, millionths(share.portion), share.memory_mib)
