"""Observe: the frozen snapshot a decision is made from.

What occupies a GPU is the agent's report with the allocations laid over it: a claim that was
given a place but is not prepared yet occupies it already, and a place stays occupied until the
agent reports it free, whatever became of the claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from migctl.controller import queues
from migctl.controller.mirror import View
from migctl.objects import Claim, Department, Node, Phase, Project
from nodeagent.contract import NodeReport
from solver.model import cluster
from solver.model.cluster import Backing, Gpu, Instance, InstanceState, SharedPart
from solver.model.demand import DeviceShare, Gang, Grant, Holding, Request
from solver.model.geometry import GpuModel
from solver.model.snapshot import Snapshot

EPOCH = datetime.fromtimestamp(0, UTC)


def snapshot(mirror: View, now: datetime) -> Snapshot:
    """The cluster as the mirror shows it at `now`."""
    # By name: ties are broken by this order, which must not hang on which node was heard of first.
    nodes = sorted((n for n in mirror.all(Node) if n.status.report is not None), key=lambda node: node.meta.name)
    claims = mirror.all(Claim)
    granted = [claim for claim in claims if claim.status.allocation is not None]
    moving = _moving(claims)
    gpus = _occupied([_gpus(node) for node in nodes], (*map(_holding, granted), *moving))
    held = (*(_holding(claim) for claim in granted), *moving)
    return Snapshot(
        nodes=tuple(_node(node) for node in nodes),
        gpus=gpus,
        models=MappingProxyType(_models(node.status.report for node in nodes if node.status.report)),
        pending=tuple(_request(claim, gpus, held) for claim in claims if waits(claim)),
        held=held,
        projects=tuple(queues.project(stored) for stored in mirror.all(Project)),
        departments=tuple(queues.department(stored) for stored in mirror.all(Department)),
        now=now.timestamp(),
    )


def waits(claim: Claim) -> bool:
    """Whether a claim still needs a place."""
    return claim.status.allocation is None and claim.meta.deleting is None and claim.status.phase is Phase.PENDING


def _node(node: Node) -> cluster.Node:
    return cluster.Node(
        name=node.meta.name,
        pool=node.spec.pool,
        labels=MappingProxyType(dict(node.meta.labels)),
        ready=node.status.ready and not node.spec.cordoned,
    )


def _gpus(node: Node) -> tuple[Gpu, ...]:
    report = node.status.report
    assert report is not None
    return report.gpus


def _models(reports: Iterable[NodeReport]) -> dict[str, GpuModel]:
    return {name: model for report in reports for name, model in report.models.items()}


def _occupied(reported: Iterable[tuple[Gpu, ...]], held: Iterable[Holding]) -> tuple[Gpu, ...]:
    gpus = {gpu.uuid: gpu for report in reported for gpu in report}
    for holding in held:
        for share in holding.grant.devices:
            if share.gpu in gpus:
                gpus[share.gpu] = occupy(gpus[share.gpu], holding.request.claim, share)
    return tuple(gpus.values())


def occupy(gpu: Gpu, claim: str, share: DeviceShare) -> Gpu:
    """The GPU with the claim's share laid over what the agent reported."""
    if share.backing is Backing.WHOLE:
        return replace(gpu, held_by=claim)
    if share.backing is Backing.MIG:
        assert share.profile is not None
        assert share.start is not None
        mine = Instance(share.profile, share.start, share.size, InstanceState.BUSY, claim)
        others = [
            i for i in gpu.instances if not (i.mask & mine.mask and i.state is InstanceState.IDLE) and i.claim != claim
        ]
        return replace(gpu, instances=tuple(sorted((*others, mine), key=lambda i: i.start)))
    part = SharedPart(claim, share.portion, share.memory_mib, share.backing)
    return replace(gpu, parts=(*(p for p in gpu.parts if p.claim != claim), part))


def _request(claim: Claim, gpus: Iterable[Gpu], held: tuple[Holding, ...]) -> Request:
    nomination = claim.status.nomination
    if nomination is not None and not _being_freed(nomination, gpus, held):
        nomination = None
    return request(claim, nomination)


def request(claim: Claim, nomination: Grant | None = None) -> Request:
    """The claim in the solver's words."""
    return Request(
        claim=claim.meta.uid,
        name=claim.spec.workload,
        project=claim.meta.project,
        ask=claim.spec.ask.to_ask(),
        priority=claim.spec.priority,
        preemptible=claim.spec.preemptible,
        created=(claim.spec.submitted or claim.meta.created or EPOCH).timestamp(),
        waiting_since=(claim.meta.created or EPOCH).timestamp(),
        workload=claim.spec.workload,
        pools=claim.spec.pools,
        gang=_gang(claim),
        nominated=nomination,
        backing_off_until=None if claim.status.retry_at is None else claim.status.retry_at.timestamp(),
    )


def _gang(claim: Claim) -> Gang | None:
    """A gang is a workload's own, and goes by its name."""
    gang = claim.spec.gang
    return None if gang is None else Gang(claim.spec.workload, gang.size, gang.domain, gang.required)


def _being_freed(nomination: Grant, gpus: Iterable[Gpu], held: tuple[Holding, ...]) -> bool:
    """Whether everything that still stands on a nominated place is on its way out."""
    by_uuid = {gpu.uuid: gpu for gpu in gpus}
    staying = {holding.request.claim for holding in held if not holding.releasing}
    return all(
        share.gpu in by_uuid and not staying & set(occupants(by_uuid[share.gpu], share)) for share in nomination.devices
    )


def occupants(gpu: Gpu, share: DeviceShare) -> tuple[str, ...]:
    """Claims that stand where `share` would stand (for a share without MIG: the GPU's holder only)."""
    if share.backing is Backing.MIG:
        assert share.start is not None
        mask = ((1 << share.size) - 1) << share.start
        return tuple(i.claim for i in gpu.instances if i.claim and i.mask & mask)
    whole = (gpu.held_by,) if gpu.held_by else ()
    return (*whole, *(part.claim for part in gpu.parts)) if share.backing is Backing.WHOLE else whole


def _moving(claims: Iterable[Claim]) -> tuple[Holding, ...]:
    """The places kept for claims that are stopped to be moved, until their successors are there to have them."""
    there = {(c.spec.workload_uid, c.spec.index) for c in claims if c.meta.deleting is None}
    return tuple(
        Holding(
            request=replace(request(claim), claim=f"{claim.meta.uid} moved"),
            grant=claim.status.nomination,
            protected="it is being moved",
        )
        for claim in claims
        if claim.meta.deleting is not None
        and claim.status.nomination is not None
        and (claim.spec.workload_uid, claim.spec.index) not in there
    )


def _holding(claim: Claim) -> Holding:
    assert claim.status.allocation is not None
    return Holding(
        request=request(claim),
        grant=claim.status.allocation,
        since=(claim.status.allocated or EPOCH).timestamp(),
        releasing=claim.meta.deleting is not None,
    )
