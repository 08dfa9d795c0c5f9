"""What if: the same planner on an edited snapshot, and what differs.

Edits are pure. What runs on a node that is taken away becomes pending work again, as it would. The
difference names requests whose outcome changes and GPUs whose layout does; GPUs of nodes that are
in one snapshot only count as empty in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from solver.model.cluster import Gpu, Node
from solver.model.demand import DeviceShare, Grant, Request
from solver.model.geometry import GpuModel
from solver.model.occupation import occupants, occupied, vacated
from solver.model.plan import Assign, Destroy, Evict, Outcome, Plan
from solver.model.snapshot import Policy, Snapshot
from solver.planner import plan


@dataclass(frozen=True, slots=True)
class SnapshotEdits:
    """What differs from the snapshot: requests, nodes, GPUs and models added; names of nodes taken away (`lost`)."""

    requests: tuple[Request, ...] = ()
    nodes: tuple[Node, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    models: tuple[GpuModel, ...] = ()
    lost: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Changed:
    """A request whose fate differs. None: it is not there, or (`before`, `after`) it keeps what it holds."""

    request: Request
    before: Outcome | Grant | None
    after: Outcome | Grant | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two decisions side by side. layouts: GPU UUID to what is on it now-planned and then-planned."""

    before: Plan
    after: Plan
    snapshot: Snapshot
    requests: tuple[Changed, ...]
    evicted: tuple[Evict, ...]
    layouts: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]


def edited(snapshot: Snapshot, edits: SnapshotEdits) -> Snapshot:
    """The snapshot with the edits carried out."""
    stay = tuple(holding for holding in snapshot.held if holding.grant.node not in edits.lost)
    displaced = tuple(holding.request for holding in snapshot.held if holding.grant.node in edits.lost)
    return replace(
        snapshot,
        nodes=(*(node for node in snapshot.nodes if node.name not in edits.lost), *edits.nodes),
        gpus=(*(gpu for gpu in snapshot.gpus if gpu.node not in edits.lost), *edits.gpus),
        models=MappingProxyType({**snapshot.models, **{model.id: model for model in edits.models}}),
        pending=(*snapshot.pending, *displaced, *edits.requests),
        held=stay,
    )


Planner = Callable[[Snapshot, Policy | None], Plan]


def compare(
    snapshot: Snapshot,
    edits: SnapshotEdits,
    policy: Policy | None = None,
    other: Policy | None = None,
    planner: Planner = plan,
) -> Difference:
    """Decide on the snapshot, and on the edited one under the `other` policy (None: the same)."""
    imagined = edited(snapshot, edits)
    before, after = planner(snapshot, policy), planner(imagined, other or policy)
    old, new = layouts(snapshot, before), layouts(imagined, after)
    return Difference(
        before=before,
        after=after,
        snapshot=imagined,
        requests=tuple(_changed(snapshot, before, imagined, after)),
        evicted=tuple(step for step in after.steps if isinstance(step, Evict)),
        layouts=MappingProxyType(
            {
                uuid: (old.get(uuid, ()), new.get(uuid, ()))
                for uuid in (*old, *(uuid for uuid in new if uuid not in old))
                if old.get(uuid, ()) != new.get(uuid, ())
            }
        ),
    )


def _changed(snapshot: Snapshot, before: Plan, imagined: Snapshot, after: Plan) -> Iterable[Changed]:
    was, becomes = _fates(snapshot, before), _fates(imagined, after)
    everybody = {r.claim: r for s in (snapshot, imagined) for r in (*s.pending, *(h.request for h in s.held))}
    for claim, request in everybody.items():
        if was.get(claim) != becomes.get(claim):
            yield Changed(request, was.get(claim), becomes.get(claim))


def _fates(snapshot: Snapshot, decided: Plan) -> dict[str, Outcome | Grant | None]:
    evicted = {step.claim for step in decided.steps if isinstance(step, Evict)}
    moved = {step.claim: step.grant for step in decided.steps if isinstance(step, Assign)}
    held = {h.request.claim: h.grant if h.request.claim not in evicted else None for h in snapshot.held}
    return {**held, **{claim: moved[claim] for claim in evicted if claim in moved}, **decided.outcomes}


def layouts(snapshot: Snapshot, decided: Plan) -> dict[str, tuple[str, ...]]:
    """What is on every GPU once the plan is carried out, as texts in the order of their place."""
    names = {r.claim: r.name for r in (*snapshot.pending, *(h.request for h in snapshot.held))}
    gpus = {gpu.uuid: gpu for gpu in snapshot.gpus}
    for step in decided.steps:
        if isinstance(step, Evict):
            gpus = {uuid: vacated(gpu, step.claim) for uuid, gpu in gpus.items()}
        elif isinstance(step, Destroy):
            gpus[step.gpu] = _destroyed(gpus[step.gpu], step)
        elif isinstance(step, Assign):
            for uuid in dict.fromkeys(share.gpu for share in step.grant.devices):
                shares = [share for share in step.grant.devices if share.gpu == uuid]
                gpus[uuid] = _given(gpus[uuid], step.claim, shares)
    return {uuid: _texts(gpu, names) for uuid, gpu in gpus.items()}


def _destroyed(gpu: Gpu, step: Destroy) -> Gpu:
    left = tuple(i for i in gpu.instances if (i.profile, i.start) != (step.profile, step.start))
    return replace(gpu, instances=left)


def _given(gpu: Gpu, claim: str, shares: Sequence[DeviceShare]) -> Gpu:
    """The GPU with the shares on it. Those that stood there are on their way out and have left by then."""
    for share in shares:
        for other in occupants(gpu, share):
            gpu = vacated(gpu, other)
    return occupied(gpu, claim, *shares)


def _texts(gpu: Gpu, names: Mapping[str, str]) -> tuple[str, ...]:
    def holder(claim: str | None) -> str:
        return names.get(claim or "", claim or "")

    if gpu.held_by:
        return (f"whole: {holder(gpu.held_by)}",)
    instances = sorted(gpu.instances, key=lambda i: i.start)
    shown = [f"{i.profile}@{i.start}: {holder(i.claim) if i.claim else i.state.value}" for i in instances]
    return (*shown, *(f"{part.memory_mib} MiB: {holder(part.claim)}" for part in gpu.parts))
