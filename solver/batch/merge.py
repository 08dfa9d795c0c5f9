"""Plans made one after the other for one snapshot: what each leaves to the next, and all of them as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from solver.batch.plan_columns import Outcomes
from solver.model.cluster import Gpu, InstanceState, Node
from solver.model.demand import Grant, Holding, Request
from solver.model.plan import Assign, Certificate, Create, Destroy, Evict, Method, Outcome, Placed, Plan, Step
from solver.model.snapshot import Snapshot

JUST_PLACED = "this plan has just placed it"


def after(snapshot: Snapshot, plan: Plan, pending: tuple[Request, ...]) -> Snapshot:
    """The snapshot with the plan's grants held and its victims leaving, and `pending` waiting."""
    requests = {request.claim: request for request in snapshot.pending}
    evicted = {step.claim for step in plan.steps if isinstance(step, Evict)}
    held = [replace(h, releasing=True) if h.request.claim in evicted else h for h in snapshot.held]
    victims = {h.request.claim: h.request for h in held if h.releasing}
    cpu, memory = defaultdict[str, int](int), defaultdict[str, int](int)
    for step in plan.steps:
        if isinstance(step, Assign):
            moved = victims.get(step.claim)
            request = replace(moved, claim=f"{step.claim} moved") if moved else requests[step.claim]
            held.append(Holding(request, step.grant, snapshot.now, protected=JUST_PLACED))
            cpu[step.grant.node] += request.cpu_milli
            memory[step.grant.node] += request.memory_mib
    nodes = tuple(_busier(node, cpu[node.name], memory[node.name]) for node in snapshot.nodes)
    destroyed = {(step.gpu, step.profile, step.start) for step in plan.steps if isinstance(step, Destroy)}
    gpus = tuple(_without(gpu, destroyed) for gpu in snapshot.gpus) if destroyed else snapshot.gpus
    return replace(snapshot, nodes=nodes, gpus=gpus, held=tuple(held), pending=pending)


def _busier(node: Node, cpu_milli: int, memory_mib: int) -> Node:
    """The node with so much less to give. What victims give back is left to the next decision."""
    if not (cpu_milli or memory_mib):
        return node
    return replace(
        node,
        cpu_milli=None if node.cpu_milli is None else node.cpu_milli - cpu_milli,
        memory_mib=None if node.memory_mib is None else node.memory_mib - memory_mib,
    )


def _without(gpu: Gpu, destroyed: set[tuple[str, str, int]]) -> Gpu:
    left = tuple(
        i for i in gpu.instances if i.state is not InstanceState.IDLE or (gpu.uuid, i.profile, i.start) not in destroyed
    )
    return gpu if len(left) == len(gpu.instances) else replace(gpu, instances=left)


def merged(snapshot: Snapshot, plans: Sequence[Plan], reasons: Mapping[str, Outcome], certificate: Certificate) -> Plan:
    """One plan. A step on a GPU comes after what an earlier plan has evicted or destroyed there."""
    grants = {holding.request.claim: holding.grant for holding in snapshot.held}
    steps: list[Step] = []
    waits: dict[int, tuple[int, ...]] = {}
    cleared: defaultdict[str, list[int]] = defaultdict(list)
    for plan in plans:
        first = len(steps)
        clears: list[tuple[str, int]] = []
        for position, step in enumerate(plan.steps, first):
            gpus = _gpus(step, grants)
            earlier = {first + i for i in plan.after.get(position - first, ())}
            earlier.update(*(cleared[gpu] for gpu in gpus if not isinstance(step, Evict)))
            if earlier:
                waits[position] = tuple(sorted(earlier))
            if isinstance(step, Evict | Destroy):
                clears += ((gpu, position) for gpu in gpus)
            steps.append(step)
        for gpu, position in clears:
            cleared[gpu].append(position)
    outcomes = Joined([plan.outcomes for plan in plans], reasons)
    return Plan(tuple(steps), MappingProxyType(waits), outcomes, certificate)


def _gpus(step: Step, grants: Mapping[str, Grant]) -> Iterable[str]:
    if isinstance(step, Create | Destroy):
        return (step.gpu,)
    grant = grants.get(step.claim) if isinstance(step, Evict) else step.grant
    return {share.gpu for share in grant.devices} if grant else ()


def _placed(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[str, Placed]]:
    """Those with a place, without looking for the others' reasons."""
    if isinstance(outcomes, Outcomes):
        return outcomes.placed()
    return ((claim, outcome) for claim, outcome in outcomes.items() if isinstance(outcome, Placed))


class Joined(Mapping[str, Outcome]):
    """Every request's outcome: its place, whichever plan gave it, else its reason."""

    def __init__(self, parts: Sequence[Mapping[str, Outcome]], reasons: Mapping[str, Outcome]) -> None:
        self._reasons = reasons
        self._placed = {claim: place for part in parts for claim, place in _placed(part)}

    def __len__(self) -> int:
        return len(self._reasons)

    def __iter__(self) -> Iterator[str]:
        return iter(self._reasons)

    def __getitem__(self, claim: str) -> Outcome:
        return self._placed.get(claim) or self._reasons[claim]


def summed(certificates: Sequence[Certificate]) -> Certificate:
    """The certificate of plans made one after the other: each bound holds for what the earlier ones left."""
    notes = dict.fromkeys(c.note for c in certificates if c.note)
    exact = all(c.method is Method.OPTIMAL for c in certificates)
    return Certificate(
        Method.OPTIMAL if exact and len(certificates) == 1 else Method.BOUNDED,
        sum(c.value for c in certificates),
        sum(c.bound for c in certificates),
        sum(c.operations for c in certificates),
        sum(c.operations_bound for c in certificates),
        "; ".join(notes),
    )
