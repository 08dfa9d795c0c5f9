"""migctl's own planner as a scheduler: `solver.online`, and `solver.planner` where work may be moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from migctl.simulate.events import Admission
from migctl.simulate.fleet import SimulatedFleet
from solver.model.cluster import Gpu, Instance, InstanceState, Node
from solver.model.demand import Grant, Holding, Request
from solver.model.plan import Assign, Create, Destroy, Placed, Plan
from solver.model.snapshot import Policy, Snapshot
from solver.online import Online
from solver.planner import plan
from solver.working_copy.occupancy import WorkingGpu

Planner = Callable[[Snapshot, Policy], Plan]


class MigctlScheduler:
    """Places what fits now; moves nothing."""

    def __init__(self, fleet: SimulatedFleet, online: Callable[[Snapshot], Online] = Online) -> None:
        self._online = online(fleet.snapshot)

    def admit(self, request: Request, now: float) -> Admission | None:
        decision = self._online.decide(request)
        if decision is None:
            return None
        grant = self._online.apply(decision, now)
        creates = sum(candidate.creates for candidate in decision.candidates)
        return Admission(grant, creates, decision.operations - creates)

    def release(self, claim: str) -> None:
        self._online.release(claim)


class MigctlMovingScheduler(MigctlScheduler):
    """Places what fits now; for what does not, the planner may move others: at most `moves` for one admission."""

    def __init__(self, fleet: SimulatedFleet, moves: int = 1, planner: Planner = plan) -> None:
        super().__init__(fleet)
        self._fleet, self._planner = fleet, planner
        self._policy = Policy(evictions=moves)

    def admit(self, request: Request, now: float) -> Admission | None:
        if (admission := super().admit(request, now)) or not self._might_fit(request):
            return admission
        state = self.snapshot(request, now)
        decided = self._planner(state, self._policy)
        outcome = decided.outcomes[request.claim]
        if not isinstance(outcome, Placed):
            return None
        self._online = Online(carried_out(state, decided))
        return _admission(request, outcome.grant, decided)

    def snapshot(self, request: Request, now: float) -> Snapshot:
        """The planner's input: the fleet as it is now and one request."""
        cluster = self._online.cluster
        gpus = tuple(_with_idle(gpu) for gpu in cluster.gpus.values())
        held = tuple(cluster.held.values())
        nodes = tuple(
            replace(h.reported, cpu_milli=h.cpu_milli, memory_mib=h.memory_mib) for h in cluster.nodes.values()
        )
        return replace(self._fleet.snapshot, nodes=nodes, gpus=gpus, held=held, pending=(request,), now=now)

    def _might_fit(self, request: Request) -> bool:
        """Whether the free room, taken together, would do."""
        free = sum(1 - gpu.used for gpu in self._online.cluster.gpus.values())
        return free >= self._fleet.size(request.demand).room


def carried_out(state: Snapshot, decided: Plan) -> Snapshot:
    """The snapshot once every step of the plan is done: what the moved leave behind stays, idle."""
    grants = {step.claim: step.grant for step in decided.steps if isinstance(step, Assign)}
    requests = {holding.request.claim: holding for holding in state.held}
    left = [holding.grant for claim, holding in requests.items() if claim in grants]
    destroyed = {(step.gpu, step.profile, step.start) for step in decided.steps if isinstance(step, Destroy)}
    gpus = (_left_with(gpu, _instances_of(gpu, left), destroyed) for gpu in state.gpus)
    stay = [replace(holding, grant=grants.get(claim, holding.grant)) for claim, holding in requests.items()]
    new = [Holding(request, grants[request.claim], state.now) for request in state.pending if request.claim in grants]
    nodes = _hosts(state.nodes, state.held, [*stay, *new])
    return replace(state, nodes=nodes, gpus=tuple(gpus), held=(*stay, *new), pending=())


def _hosts(nodes: Iterable[Node], before: Iterable[Holding], after: Iterable[Holding]) -> tuple[Node, ...]:
    """The nodes with what is free of CPU and memory, once `after` is held instead of `before`."""
    cpu, memory = Counter[str](), Counter[str]()
    for holdings, sign in ((before, 1), (after, -1)):
        for holding in holdings:
            cpu[holding.grant.node] += sign * holding.request.cpu_milli
            memory[holding.grant.node] += sign * holding.request.memory_mib
    return tuple(
        replace(
            node,
            cpu_milli=None if node.cpu_milli is None else node.cpu_milli + cpu[node.name],
            memory_mib=None if node.memory_mib is None else node.memory_mib + memory[node.name],
        )
        for node in nodes
    )


def _admission(request: Request, grant: Grant, decided: Plan) -> Admission:
    moves: Mapping[str, Grant] = {
        step.claim: step.grant for step in decided.steps if isinstance(step, Assign) and step.claim != request.claim
    }
    creates = sum(isinstance(step, Create) for step in decided.steps)
    destroys = sum(isinstance(step, Destroy) for step in decided.steps)
    return Admission(grant, creates, destroys, MappingProxyType(moves))


def _with_idle(gpu: WorkingGpu) -> Gpu:
    sizes = {p.name: p.size for p in gpu.table.model.profiles} if gpu.table else {}
    idle = (Instance(i.profile, i.start, sizes[i.profile], InstanceState.IDLE) for i in gpu.idle)
    return replace(gpu.reported, instances=tuple(idle))


def _instances_of(gpu: Gpu, grants: Iterable[Grant]) -> tuple[Instance, ...]:
    return tuple(
        Instance(share.profile, share.start, share.size, InstanceState.IDLE)
        for grant in grants
        for share in grant.devices
        if share.gpu == gpu.uuid and share.profile is not None and share.start is not None
    )


def _left_with(gpu: Gpu, more: tuple[Instance, ...], destroyed: set[tuple[str, str, int]]) -> Gpu:
    instances = (i for i in (*gpu.instances, *more) if (gpu.uuid, i.profile, i.start) not in destroyed)
    return replace(gpu, instances=tuple(instances))
