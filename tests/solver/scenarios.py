"""A small language for planner tests: clusters, requests and holdings in a line each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from solver.model.catalog import find
from solver.model.cluster import Backing, Gpu, Instance, InstanceState, Node, SharedPart
from solver.model.demand import Demand, DeviceShare, Grant, Holding, MigProfile, Request
from solver.model.plan import Evict, Placed, Plan
from solver.model.reasons import Unplaced
from solver.model.snapshot import Policy, ProjectQueue, Quota, Snapshot
from solver.planner import plan
from tests.checker import check
from tests.solver.in_process import InProcessSolver

ROOMY = ProjectQueue("team-a", Quota(quota=-1.0))


def a100(uuid: str = "g0", node: str = "n0", index: int = 0, *instances: Instance) -> Gpu:
    return gpu("a100-40gb", uuid, node, index, *instances)


def gpu(model: str, uuid: str = "g0", node: str = "n0", index: int = 0, *instances: Instance) -> Gpu:
    """A GPU in MIG mode where its model has MIG."""
    found = find(model)
    return Gpu(uuid, node, index, found.id, found.memory_mib, bool(found.units), tuple(instances))


def instance(
    profile: str, start: int, state: str = "idle", claim: str | None = None, model: str = "a100-40gb"
) -> Instance:
    found = find(model).profile(profile)
    assert found is not None
    return Instance(profile, start, found.size, InstanceState(state), claim)


def request(claim: str, demand: Demand, project: str = "team-a", **more: Any) -> Request:
    return Request(claim, claim, project, demand, **more)


def interactive(claim: str, demand: Demand, project: str = "team-a", **more: Any) -> Request:
    return request(claim, demand, project, priority=100, preemptible=False, **more)


def holds(wish: Request, on: Gpu, start: int, profile: str | None = None, **more: Any) -> Holding:
    """A claim that holds one MIG instance."""
    name = profile or (wish.demand.profile if isinstance(wish.demand, MigProfile) else "")
    model = find(on.model)
    found = model.profile(name)
    assert found is not None
    portion = found.slices / model.slices
    share = DeviceShare(on.uuid, Backing.MIG, portion, found.memory_mib or 0, name, start, found.size)
    return Holding(wish, Grant(on.node, (share,)), **more)


def shares(wish: Request, on: Gpu, portion: float, **more: Any) -> Holding:
    """A claim that holds a software share."""
    share = DeviceShare(on.uuid, Backing.SOFTWARE, portion, int(portion * on.memory_mib))
    return Holding(wish, Grant(on.node, (share,)), **more)


def cluster(
    *gpus: Gpu, projects: Iterable[ProjectQueue] = (ROOMY,), nodes: Iterable[Node] | None = None, **more: Any
) -> Snapshot:
    names = dict.fromkeys(g.node for g in gpus)
    return Snapshot(
        nodes=tuple(nodes) if nodes is not None else tuple(Node(name) for name in names),
        gpus=gpus,
        models=MappingProxyType({g.model: find(g.model) for g in gpus}),
        projects=tuple(projects),
        **more,
    )


def decide(snapshot: Snapshot, policy: Policy | None = None) -> Plan:
    """The plan, judged."""
    made = plan(snapshot, policy or Policy(), InProcessSolver())
    check(snapshot, made)
    return made


def place(made: Plan, claim: str) -> Placed:
    outcome = made.outcomes[claim]
    assert isinstance(outcome, Placed), outcome
    return outcome


def refusal(made: Plan, claim: str) -> Unplaced:
    outcome = made.outcomes[claim]
    assert isinstance(outcome, Unplaced), outcome
    return outcome


def starts(made: Plan, *claims: str) -> list[tuple[str | None, int | None]]:
    """(profile, start) of each claim's first device."""
    return [(s.profile, s.start) for c in claims for s in place(made, c).grant.devices[:1]]


def carried_out(snapshot: Snapshot, made: Plan) -> Snapshot:
    """The cluster after the plan: the placed hold their shares, victims have left idle instances behind."""
    wishes = {r.claim: r for r in snapshot.pending}
    victims = {step.claim for step in made.steps if isinstance(step, Evict)}
    granted = {c: o.grant for c, o in made.outcomes.items() if isinstance(o, Placed)}
    held = [h for h in snapshot.held if h.request.claim not in victims]
    held += [Holding(wishes[c], grant, snapshot.now) for c, grant in granted.items()]
    gpus = tuple(_after(g, victims, granted) for g in snapshot.gpus)
    pending = tuple(r for r in snapshot.pending if r.claim not in granted)
    return replace(snapshot, gpus=gpus, held=tuple(held), pending=pending)


def _after(g: Gpu, victims: set[str], granted: dict[str, Grant]) -> Gpu:
    instances = [replace(i, state=InstanceState.IDLE, claim=None) if i.claim in victims else i for i in g.instances]
    parts = [p for p in g.parts if p.claim not in victims]
    whole = None if g.held_by in victims else g.held_by
    for claim, grant in granted.items():
        for share in grant.devices:
            if share.gpu != g.uuid:
                continue
            if share.backing is Backing.MIG:
                new = Instance(share.profile or "", share.start or 0, share.size, InstanceState.BUSY, claim)
                instances = [*(i for i in instances if not i.mask & new.mask), new]
            elif share.backing is Backing.WHOLE:
                whole = claim
            else:
                parts.append(SharedPart(claim, share.portion, share.memory_mib))
    return replace(g, instances=tuple(instances), parts=tuple(parts), held_by=whole)
