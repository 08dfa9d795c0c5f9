"""The cluster while a plan is made: what is taken, what is idle and what the plan has given out so far.

What a claim holds is laid over what its node reports: an allocation that is not prepared yet occupies
its place already.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from solver.gpu_tables.states import GpuState, state_of
from solver.gpu_tables.tables import Slot, Table, table
from solver.model.cluster import Gpu, InstanceState, Node
from solver.model.demand import DeviceShare, Grant, Holding, Request
from solver.model.geometry import Placement, legal
from solver.model.occupation import MILLIONTHS, footprint, plain_holders
from solver.model.snapshot import Snapshot
from solver.quota.pools import allows

GPU_FIELDS = ("occupants", "idle", "spent", "mask", "millionths", "memory_mib", "known")
NODE_FIELDS = ("cpu_milli", "memory_mib", "keys")


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
        """What it is, for one that no claim of ours holds."""
        return f"{self.profile}@{self.start}" if self.profile else f"{self.memory_mib} MiB of other processes"


@dataclass(slots=True, eq=False)
class WorkingGpu:
    """One GPU while a plan is made.

    reported    the GPU as the snapshot has it
    table       its model's slots; None without MIG mode
    idle        instances that may be reused or destroyed
    spent       instances of those leaving that a newcomer of this plan takes over or destroys
    mask        the units of all occupants
    millionths, memory_mib  what is in use without MIG
    known       the state, while nothing has changed since it was looked up
    """

    reported: Gpu
    node: WorkingNode
    table: Table | None
    occupants: list[Occupant] = field(default_factory=list)
    idle: list[Placement] = field(default_factory=list)
    spent: tuple[Placement, ...] = ()
    mask: int = 0
    millionths: int = 0
    memory_mib: int = 0
    known: GpuState | None = None

    @property
    def used(self) -> float:
        """The part of the GPU that is taken, 0 to 1."""
        units = self.table.model.units if self.table else 0
        return self.mask.bit_count() / units if units else self.millionths / MILLIONTHS

    def empty(self) -> None:
        """Nothing is on it."""
        self.occupants, self.idle, self.spent, self.known = [], [], (), None
        self.mask = self.millionths = self.memory_mib = 0

    def add(self, occupant: Occupant) -> None:
        self.known = None
        self.occupants.append(occupant)
        self.mask |= occupant.mask
        self.millionths += occupant.millionths
        self.memory_mib += occupant.memory_mib
        self.idle = [i for i in self.idle if not self.mask_of(i) & occupant.mask]

    def remove(self, claim: str) -> None:
        """The holder has left: its units are free, its instances idle."""
        removed = [o for o in self.occupants if o.claim == claim]
        self.idle = [*self.idle, *(o.place for o in removed if o.place)]
        self.occupants = [o for o in self.occupants if o.claim != claim]
        for occupant in removed:
            self.mask &= ~occupant.mask
            self.millionths -= occupant.millionths
            self.memory_mib -= occupant.memory_mib
        self.known = None

    def give(self, claim: str, candidate: Candidate) -> None:
        """Put a candidate for this GPU, or one like it, on the GPU."""
        self.idle = [i for i in self.idle if i not in candidate.destroys]
        self.spent = (*self.spent, *candidate.destroys, *candidate.instance)
        self.occupants = list(self.occupants)
        self.add(occupant_of(claim, candidate.share, self))

    def spend(self, newcomer: Occupant, leaving: Set[str]) -> None:
        """The instances of those leaving that cannot stand beside a newcomer are its to take over or destroy."""
        here = [o.place for o in self.occupants if o.claim in leaving and o.place]
        if self.table and newcomer.place:
            self.spent = (*self.spent, *(p for p in here if not legal(self.table.model, (p, newcomer.place))))

    def weight(self, occupant: Occupant) -> float:
        """The part of the GPU that an occupant takes, 0 for an instance that the model does not know."""
        if occupant.profile is None:
            return occupant.millionths / MILLIONTHS
        profile = self.table.model.profile(occupant.profile) if self.table else None
        return self.table.weight(profile) if self.table and profile else 0.0

    def mask_of(self, instance: Placement) -> int:
        return self.table.mask_of(instance) if self.table else 0

    @property
    def state(self) -> GpuState | None:
        """What the GPU can offer as it is now; None without MIG."""
        if self.known is None and self.table:
            names = tuple(sorted(o.profile for o in self.occupants if o.profile))
            idle = tuple(sorted(self.idle, key=lambda i: (i.start, i.profile)))
            self.known = state_of(self.table, self.mask, names, idle)
        return self.known

    def left_behind(self, removed: Iterable[Occupant]) -> list[Placement]:
        """Instances that may be reused or destroyed once these occupants have left."""
        return [*self.idle, *(o.place for o in removed if o.place and o.place not in self.spent)]

    def in_the_way(self, slot: Slot, staying: list[Occupant], idle: list[Placement]) -> tuple[Placement, ...] | None:
        """The fewest idle instances to destroy so that `slot` is legal beside `staying`; None: it never is."""
        assert self.table is not None
        mask = 0
        for occupant in staying:
            mask |= occupant.mask
        return self.table.in_the_way(slot, mask, (o.profile for o in staying if o.profile), idle)


@dataclass(slots=True, eq=False)
class WorkingNode:
    """One node while a plan is made.

    ways                   how its GPUs could serve demands (scoring.ways): one for all nodes of equal GPUs
    cpu_milli, memory_mib  still free (None: not counted)
    keys                   anti-affinity keys of those that run here
    """

    reported: Node
    gpus: list[WorkingGpu] = field(default_factory=list)
    cpu_milli: int | None = None
    memory_mib: int | None = None
    keys: tuple[str, ...] = ()
    ways: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def used(self) -> float:
        return sum(gpu.used for gpu in self.gpus)

    def copied(self) -> WorkingNode:
        """A node with the same GPUs, to be changed in its stead."""
        node = replace(self, gpus=[])
        node.gpus = [replace(gpu, node=node, occupants=list(gpu.occupants)) for gpu in self.gpus]
        return node

    def allowed(self, request: Request) -> bool:
        """Whether the node may run the request at all, whatever runs there now."""
        return self.reported.ready and allows(self.reported, request)

    def lack(self, request: Request, freed: Iterable[Request]) -> tuple[int, int]:
        """CPU and memory that are missing for it, once the holders of `freed` have left; 0 or less: nothing."""
        removed = tuple(freed)
        cpu = None if self.cpu_milli is None else self.cpu_milli + sum(r.cpu_milli for r in removed)
        memory = None if self.memory_mib is None else self.memory_mib + sum(r.memory_mib for r in removed)
        return 0 if cpu is None else request.cpu_milli - cpu, 0 if memory is None else request.memory_mib - memory

    def has_room(self, request: Request, freed: Iterable[Request] = ()) -> bool:
        """Whether CPU, memory and neighbours leave room for it, once the holders of `freed` have left."""
        removed = tuple(freed)
        keys = list(self.keys)
        for other in removed:
            if other.anti_affinity in keys:
                keys.remove(other.anti_affinity)
        return max(self.lack(request, removed)) <= 0 and request.anti_affinity not in keys


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that one device of a request could have, and what must happen to the GPU before it is taken."""

    gpu: WorkingGpu
    share: DeviceShare
    destroys: tuple[Placement, ...] = ()
    creates: bool = False

    @property
    def instance(self) -> tuple[Placement, ...]:
        """The MIG instance it stands on, if any."""
        share = self.share
        return () if share.profile is None or share.start is None else (Placement(share.profile, share.start),)


class WorkingCluster:
    """Every node and GPU, who holds what, and who is leaving (told to stop, or evicted by the plan).

    changes: names of the nodes on which something changed, one after another.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.nodes = {seen.name: WorkingNode(seen, [], seen.cpu_milli, seen.memory_mib) for seen in snapshot.nodes}
        tables = {name: table(model) for name, model in snapshot.models.items()}
        self.gpus = {
            seen.uuid: _working_gpu(seen, node, tables.get(seen.model))
            for seen in snapshot.gpus
            if (node := self.nodes.get(seen.node))
        }
        alike: dict[Hashable, dict[Hashable, Any]] = {}
        for node in self.nodes.values():
            node.ways = alike.setdefault((node.reported.pool, *map(_kind, node.gpus)), node.ways)
        self.held = {holding.request.claim: holding for holding in snapshot.held}
        self.leaving = {holding.request.claim for holding in snapshot.held if holding.releasing}
        self.changes: list[str] = []
        self._undo: list[tuple[WorkingGpu | WorkingNode | WorkingCluster, dict[str, Any]]] = []
        for holding in snapshot.held:
            self._occupy(holding)

    def _occupy(self, holding: Holding) -> None:
        """Put a held grant over what the node reports, and its affinity key on the node."""
        claim = holding.request.claim
        known = ((share, self.gpus[share.gpu]) for share in holding.grant.devices if share.gpu in self.gpus)
        missing = [(share, gpu) for share, gpu in known if not any(o.claim == claim for o in gpu.occupants)]
        for share, gpu in missing:
            newcomer = occupant_of(claim, share, gpu)
            gpu.spend(newcomer, self.leaving)
            gpu.add(newcomer)
        node = self.nodes.get(holding.grant.node)
        if node and holding.request.anti_affinity is not None:
            node.keys = (*node.keys, holding.request.anti_affinity)

    def take(self, request: Request, candidates: Iterable[Candidate], evicts: Iterable[str] = ()) -> Grant:
        """Give the candidates out: nobody after this one may have their room."""
        chosen = tuple(candidates)
        for candidate in chosen:
            self._remember(candidate.gpu, *GPU_FIELDS)
            candidate.gpu.give(request.claim, candidate)
        node = chosen[0].gpu.node
        self._remember(node, *NODE_FIELDS)
        node.cpu_milli = None if node.cpu_milli is None else node.cpu_milli - request.cpu_milli
        node.memory_mib = None if node.memory_mib is None else node.memory_mib - request.memory_mib
        node.keys = (*node.keys, request.anti_affinity) if request.anti_affinity is not None else node.keys
        self.mark_leaving(evicts)
        return Grant(node.reported.name, tuple(candidate.share for candidate in chosen))

    def reserve(self, request: Request, candidates: Iterable[Candidate]) -> None:
        """Give candidates out for later. What they would destroy still stands in the way."""
        chosen = tuple(candidates)
        self.take(request, chosen)
        for candidate in chosen:
            for instance in candidate.destroys:
                mask = candidate.gpu.mask_of(instance)
                candidate.gpu.add(Occupant(request.claim, instance.profile, instance.start, mask))

    def mark_leaving(self, claims: Iterable[str]) -> None:
        """Count these claims among those that are leaving."""
        leave = [claim for claim in claims if claim not in self.leaving]
        if leave:
            self._remember(self, "leaving")
            self.leaving = self.leaving | set(leave)
            self._note_leaving(leave)

    def _remember(self, thing: WorkingGpu | WorkingNode | WorkingCluster, *names: str) -> None:
        self._undo.append((thing, {name: getattr(thing, name) for name in names}))
        self._note(thing)

    def _note(self, thing: WorkingGpu | WorkingNode | WorkingCluster) -> None:
        if not isinstance(thing, WorkingCluster):
            self.changes.append((thing.node if isinstance(thing, WorkingGpu) else thing).reported.name)

    def _note_leaving(self, claims: Iterable[str]) -> None:
        self.changes += (self.held[claim].grant.node for claim in claims)

    def follow(self, gpus: Mapping[str, Gpu], held: Sequence[Holding], names: Set[str]) -> None:
        """Become the cluster of a later snapshot, of the same nodes and kinds of GPUs; nothing is to be taken back.

        gpus   those that are reported otherwise now, by UUID
        held   all holdings; names: of the nodes on which GPUs or holdings are others than before
        """
        for uuid, reported in gpus.items():
            self.gpus[uuid].reported = reported
        self.held = {holding.request.claim: holding for holding in held}
        self.leaving = {holding.request.claim for holding in held if holding.releasing}
        for name in names:
            node = self.nodes[name]
            node.keys = ()
            for gpu in node.gpus:
                gpu.empty()
                _fill(gpu)
        for holding in held:
            if holding.grant.node in names:
                self._occupy(holding)
        self.changes += names

    @contextmanager
    def rewound(self) -> Iterator[None]:
        """The cluster as it was before the first change that can be taken back; meanwhile nothing may change."""
        later = []
        for thing, before in reversed(self._undo):
            later.append((thing, {name: getattr(thing, name) for name in before}))
            self._set(thing, before)
        yield
        for thing, after in reversed(later):
            self._set(thing, after)

    def _set(self, thing: WorkingGpu | WorkingNode | WorkingCluster, fields: Mapping[str, Any]) -> None:
        if "leaving" in fields:
            self._note_leaving(self.leaving ^ fields["leaving"])
        for name, value in fields.items():
            setattr(thing, name, value)
        self._note(thing)

    def capacity(self, newcomers: Container[str]) -> float:
        """The weight (weights.py) that fits beside what stays on usable GPUs: neither newcomers nor those leaving."""
        usable = [gpu for gpu in self.gpus.values() if gpu.node.reported.ready and not gpu.reported.fenced]
        return sum(
            max(0.0, 1.0 - sum(gpu.weight(o) for o in gpu.occupants if not self._goes(o, newcomers))) for gpu in usable
        )

    def _goes(self, occupant: Occupant, newcomers: Container[str]) -> bool:
        return occupant.claim is not None and (occupant.claim in newcomers or occupant.claim in self.leaving)

    def hold(self, holding: Holding) -> None:
        """Make a share that was taken (under the same claim) a held one. It cannot be taken back any more."""
        self.held[holding.request.claim] = holding
        for thing, _ in self._undo:
            if isinstance(thing, WorkingGpu):
                thing.spent = ()
        self._undo.clear()

    def release(self, claim: str) -> None:
        """A holder has left for good: its MIG instances stay behind, idle."""
        holding = self.held.pop(claim)
        request, node = holding.request, self.nodes[holding.grant.node]
        for share in holding.grant.devices:
            self.gpus[share.gpu].remove(claim)
        node.cpu_milli = None if node.cpu_milli is None else node.cpu_milli + request.cpu_milli
        node.memory_mib = None if node.memory_mib is None else node.memory_mib + request.memory_mib
        if request.anti_affinity is not None:
            keys = list(node.keys)
            keys.remove(request.anti_affinity)
            node.keys = tuple(keys)
        self.leaving = self.leaving - {claim} if claim in self.leaving else self.leaving
        self._note(node)

    def mark(self) -> int:
        """A moment to go back to with `undo`."""
        return len(self._undo)

    def undo(self, mark: int) -> None:
        """Take back all that was given out since `mark`."""
        while len(self._undo) > mark:
            self._set(*self._undo.pop())


def _kind(gpu: WorkingGpu) -> Hashable:
    """What of a GPU decides how it could serve a demand."""
    seen = gpu.reported
    return seen.model, seen.mig, seen.memory_mib, not seen.fenced, id(gpu.table)


def _working_gpu(reported: Gpu, node: WorkingNode, known: Table | None) -> WorkingGpu:
    gpu = WorkingGpu(reported, node, known if reported.mig else None)
    node.gpus.append(gpu)
    _fill(gpu)
    return gpu


def _fill(gpu: WorkingGpu) -> None:
    """Put on an empty GPU what its node reports."""
    for instance in gpu.reported.instances:
        claim = instance.claim if instance.state is InstanceState.BUSY else None
        if instance.state is InstanceState.IDLE and gpu.table and instance.profile in gpu.table.by_profile:
            gpu.idle.append(Placement(instance.profile, instance.start))
        else:
            gpu.add(Occupant(claim, instance.profile, instance.start, instance.mask))
    for holder, taken in plain_holders(gpu.reported):
        gpu.add(Occupant(holder, None, None, *taken))


def occupant_of(claim: str, share: DeviceShare, gpu: WorkingGpu) -> Occupant:
    """What the share takes of its GPU."""
    return Occupant(claim, share.profile, share.start, *footprint(share, gpu.reported))
