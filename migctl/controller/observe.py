"""Observe: the snapshot that a plan is made from.

A GPU's occupation is the agent's report with the allocations added: a claim that is allocated but not
prepared yet occupies its shares already, and a share stays occupied until the agent reports it free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from threading import Lock
from types import MappingProxyType

from migctl.backends.mirror import ObjectView
from migctl.backends.workload_status import first_claims
from migctl.controller import queues
from migctl.controller.queues import EPOCH
from migctl.node_pools import pool_of
from migctl.objects import Claim, Department, GpuNode, NodePool, Phase, Project, Workload
from nodeagent.contract.allocation import NodeReport
from solver.model import cluster
from solver.model.cluster import Gpu
from solver.model.demand import DeviceShare, Gang, Grant, Holding, Request
from solver.model.geometry import GpuModel
from solver.model.occupation import all_occupied, occupants
from solver.model.snapshot import Snapshot

Describe = Callable[[Claim, Request], Request]
BEING_MOVED = "it is being moved"
Laid = list[tuple[str, DeviceShare]]
"""The shares of one GPU, with the claims that hold them."""


@dataclass(frozen=True, slots=True)
class Captured:
    """The objects that a snapshot is made of, as they were at one moment."""

    nodes: tuple[GpuNode, ...]
    claims: tuple[Claim, ...]
    projects: tuple[Project, ...]
    departments: tuple[Department, ...]
    pools: tuple[NodePool, ...]


@dataclass(frozen=True, slots=True)
class _SeenClaim:
    """What a claim comes to, which is kept alive here. moving: it is stopped to be moved."""

    claim: Claim
    holding: Holding | None
    waits: bool
    moving: bool


@dataclass(frozen=True, slots=True)
class _SeenNode:
    """What a node's object comes to. gpus: with the shares that claims hold."""

    stored: GpuNode
    node: cluster.Node
    gpus: tuple[Gpu, ...]


class Observer:
    """Makes snapshots of one mirror; reuses what has not changed since the last one.

    describe  adds to a claim's request what only its backend knows; pure in the Claim object

    Objects never change, so one that is there again is known by its id.
    """

    def __init__(self, mirror: ObjectView, describe: Describe = lambda claim, request: request) -> None:
        self._mirror, self._describe = mirror, describe
        self._turn = Lock()
        self._last = Captured((), (), (), (), ())
        self._claims: dict[int, _SeenClaim] = {}
        self._held: tuple[Holding, ...] = ()
        self._nodes: list[_SeenNode] = []
        self._laid: dict[str, tuple[Gpu, Laid, Gpu]] = {}
        self._models: Mapping[str, GpuModel] = MappingProxyType({})

    def __call__(self, now: datetime) -> Snapshot:
        """The cluster as the mirror shows it at `now`."""
        return self.snapshot(self.capture(), now)

    def capture(self) -> Captured:
        """The objects of this moment. Costs little; what is made of them may be made on another thread."""
        mirror = self._mirror
        return Captured(
            mirror.all(GpuNode), mirror.all(Claim), mirror.all(Project), mirror.all(Department), mirror.all(NodePool)
        )

    def snapshot(self, seen: Captured, now: datetime) -> Snapshot:
        """What the objects come to at `now`; callers on several threads take turns."""
        with self._turn:
            return self._snapshot(seen, now)

    def _snapshot(self, seen: Captured, now: datetime) -> Snapshot:
        known = self._look_at_claims(seen.claims)
        waiting = [claim for claim, one in zip(seen.claims, known, strict=True) if one.waits]
        moving = _moving(seen.claims) if any(one.moving for one in known) else ()
        held = (*(one.holding for one in known if one.holding is not None), *moving)
        self._look_at_nodes(seen, held)
        self._last, self._held = seen, held
        gpus = tuple(gpu for one in self._nodes for gpu in one.gpus)
        nominated = any(claim.status.nomination is not None for claim in waiting)
        nominations = Nominations({gpu.uuid: gpu for gpu in gpus} if nominated else {}, held)
        return Snapshot(
            nodes=tuple(one.node for one in self._nodes),
            gpus=gpus,
            models=self._models,
            pending=tuple(self._describe(claim, request(claim, nominations.reserved_for(claim))) for claim in waiting),
            held=held,
            projects=tuple(queues.project(stored) for stored in seen.projects),
            departments=tuple(queues.department(stored) for stored in seen.departments),
            now=now.timestamp(),
        )

    def imagined(self, seen: Captured, workload: Workload, now: datetime) -> Captured:
        """The same with the claims of a workload's first pods (workload_status.first_claims)."""
        return replace(seen, claims=(*seen.claims, *first_claims(workload, now)))

    def stopped(self, claim: Claim, place: Grant) -> None:
        """A claim was stopped to be moved there: the claim that follows it has the place as its nomination."""

    def _look_at_claims(self, claims: tuple[Claim, ...]) -> list[_SeenClaim]:
        """What each of the claims comes to."""
        ids, known = list(map(id, claims)), self._claims
        new = set(ids).difference(known)
        if new:
            known |= {key: self._seen(claim) for key, claim in zip(ids, claims, strict=True) if key in new}
        if len(known) > len(ids):
            for gone in known.keys() - set(ids):
                del known[gone]
        return list(map(known.__getitem__, ids))

    def _seen(self, claim: Claim) -> _SeenClaim:
        status = claim.status
        return _SeenClaim(
            claim=claim,
            holding=None if status.allocation is None else self._holding(claim, status.allocation),
            waits=waits(claim),
            moving=claim.meta.deleting is not None and status.nomination is not None,
        )

    def _holding(self, claim: Claim, grant: Grant) -> Holding:
        return Holding(
            request=self._describe(claim, request(claim)),
            grant=grant,
            since=(claim.status.allocated or EPOCH).timestamp(),
            releasing=claim.meta.deleting is not None,
        )

    def _look_at_nodes(self, seen: Captured, held: tuple[Holding, ...]) -> None:
        """Lay the shares of holdings over what nodes report; a node on which nothing has changed stays as it is."""
        # By name: this order breaks ties, which must not depend on the order of the reports.
        nodes = sorted((node for node in seen.nodes if node.status.report is not None), key=lambda node: node.meta.name)
        same = seen.pools == self._last.pools and [one.stored.meta.name for one in self._nodes] == [
            node.meta.name for node in nodes
        ]
        before, after = set(map(id, self._held)), set(map(id, held))
        came = [holding for holding in held if id(holding) not in before]
        left = [holding for holding in self._held if id(holding) not in after]
        touched = {holding.grant.node for holding in (*came, *left)}
        changed = [
            (place, node)
            for place, node in enumerate(nodes)
            if not same or self._nodes[place].stored is not node or node.meta.name in touched
        ]
        if not changed and same:
            return
        names = {node.meta.name for _, node in changed}
        laid: dict[str, Laid] = {}
        for holding in held:
            if holding.grant.node in names:
                for share in holding.grant.devices:
                    laid.setdefault(share.gpu, []).append((holding.request.claim, share))
        made = {
            place: _SeenNode(node, _node(node, seen.pools), tuple(self._occupied(gpu, laid) for gpu in _gpus(node)))
            for place, node in changed
        }
        self._nodes = [made[place] if place in made else self._nodes[place] for place in range(len(nodes))]
        there = {gpu.uuid for one in self._nodes for gpu in one.gpus} if len(made) == len(nodes) else None
        if there is not None:
            self._laid = {uuid: known for uuid, known in self._laid.items() if uuid in there}
        reports = (node.status.report for node in nodes)
        models = _models(report for report in reports if report)
        self._models = self._models if models == self._models else MappingProxyType(models)

    def _occupied(self, gpu: Gpu, laid: Mapping[str, Laid]) -> Gpu:
        shares = laid.get(gpu.uuid, [])
        known = self._laid.get(gpu.uuid)
        if known is None or known[0] is not gpu or known[1] != shares:
            known = self._laid[gpu.uuid] = (gpu, shares, all_occupied(gpu, shares))
        return known[2]


def snapshot(mirror: ObjectView, now: datetime) -> Snapshot:
    """The cluster as the mirror shows it at `now`, once."""
    return Observer(mirror)(now)


def waits(claim: Claim) -> bool:
    """Whether a claim still needs an allocation."""
    return claim.status.allocation is None and claim.meta.deleting is None and claim.status.phase is Phase.PENDING


def _node(node: GpuNode, pools: Iterable[NodePool]) -> cluster.Node:
    return cluster.Node(
        name=node.meta.name,
        pool=pool_of(node.spec.pool, node.meta.labels, pools),
        labels=MappingProxyType(dict(node.meta.labels)),
        ready=node.status.ready and not node.spec.cordoned,
        cordoned=node.status.ready and node.spec.cordoned,
    )


def _gpus(node: GpuNode) -> tuple[Gpu, ...]:
    report = node.status.report
    assert report is not None
    return report.gpus


def _models(reports: Iterable[NodeReport]) -> dict[str, GpuModel]:
    return {name: model for report in reports for name, model in report.models.items()}


def request(claim: Claim, nomination: Grant | None = None) -> Request:
    """The claim as a request of the solver."""
    return Request(
        claim=claim.meta.uid,
        name=claim.spec.workload,
        project=claim.meta.project,
        demand=claim.spec.gpu_request.to_demand(),
        priority=claim.spec.priority,
        preemptible=claim.spec.preemptible,
        movable=claim.spec.movable,
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


class Nominations:
    """Which nominations are still valid: all claims on their shares are being stopped."""

    def __init__(self, gpus: Mapping[str, Gpu], held: Iterable[Holding]) -> None:
        self._gpus, self._held = gpus, held

    def reserved_for(self, claim: Claim) -> Grant | None:
        """The claim's nomination; None where it has none or the nomination is not valid."""
        nomination = claim.status.nomination
        if nomination is None or not all(share.gpu in self._gpus for share in nomination.devices):
            return None
        stands = (uid for share in nomination.devices for uid in occupants(self._gpus[share.gpu], share))
        return None if self._staying.intersection(stands) else nomination

    @cached_property
    def _staying(self) -> set[str]:
        return {holding.request.claim for holding in self._held if not holding.releasing}


def grants(claims: Iterable[Claim]) -> Iterator[tuple[str, Grant]]:
    """What claims hold or what is kept for them while they are moved, by the claim that holds it in a snapshot."""
    every = tuple(claims)
    yield from ((claim.meta.uid, claim.status.allocation) for claim in every if claim.status.allocation is not None)
    yield from ((holding.request.claim, holding.grant) for holding in _moving(every))


def moved(claim: Claim) -> str:
    """Who holds what is kept for a claim that is stopped to be moved."""
    return f"{claim.meta.uid} moved"


def _moving(claims: Iterable[Claim]) -> tuple[Holding, ...]:
    """The shares reserved for claims that are stopped to be moved, until their successors exist."""
    leaving = [claim for claim in claims if claim.meta.deleting is not None and claim.status.nomination is not None]
    if not leaving:
        return ()
    present = {(c.spec.workload_uid, c.spec.index) for c in claims if c.meta.deleting is None}
    return tuple(
        Holding(
            request=replace(request(claim), claim=moved(claim)),
            grant=claim.status.nomination,
            protected=BEING_MOVED,
        )
        for claim in leaving
        if claim.status.nomination is not None and (claim.spec.workload_uid, claim.spec.index) not in present
    )
