"""The snapshot of a decision: the control plane's, with what only Kubernetes knows added.

nodes    labels, free CPU and memory, whether Node and agent are ready, and the agent reports
pending  CPU and memory requested, nodes that would refuse the pod, its gang
held     the same, and disruption budgets that protect it now
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

import msgspec

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.meaning import claims, exclusions, names, node_affinity, requests
from migctl.backends.kubernetes.meaning.quantities import NodeResources
from migctl.backends.kubernetes.meaning.records import BudgetRecord, ClaimRecord, Constraints, GpuPod, NodeRecord
from migctl.controller import observe
from migctl.controller.kubernetes import imagined as imagined_pods
from migctl.controller.kubernetes.agent_liveness import Heartbeats
from migctl.controller.kubernetes.successors import Successors
from migctl.node_pools import pool_of
from migctl.objects import Claim, Workload
from solver.model import cluster as model
from solver.model.demand import Gang, Grant, Holding, Request
from solver.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class CapturedCluster:
    """What a snapshot is made of, as it was at one moment.

    strict   disruption budgets that allow no eviction now
    unbound  CPU and memory of pods that have an allocation and are not bound to its node yet, by node
    succeeded  how many members of each gang have ended well
    gone     claims that were deleted and whose devices are still held, by uid
    imagined pods that are not there, by namespace and name
    """

    objects: observe.Captured
    records: tuple[ClaimRecord, ...]
    nodes: tuple[NodeRecord, ...]
    strict: tuple[BudgetRecord, ...]
    unbound: Mapping[str, NodeResources]
    succeeded: Mapping[tuple[str, str], int]
    gone: frozenset[str]
    imagined: Mapping[tuple[str, str], GpuPod] = field(default_factory=lambda: MappingProxyType({}))


class KubernetesObserver:
    """Makes snapshots of one cluster."""

    def __init__(self, cluster: ClusterCache, heartbeats: Heartbeats) -> None:
        self._cluster = cluster
        self._heartbeats = heartbeats
        self._observe = observe.Observer(cluster, self._with_pod)
        self._successors = Successors()
        self._refusing: dict[bytes, dict[str, str]] = {}
        self._refusing_of = -1
        self._imagined: Mapping[tuple[str, str], GpuPod] = {}

    def __call__(self, now: datetime) -> Snapshot:
        """The cluster at `now`."""
        return self.snapshot(self.capture(), now)

    def capture(self) -> CapturedCluster:
        """The objects of this moment."""
        return CapturedCluster(
            self._observe.capture(),
            tuple(self._cluster.claims.all.values()),
            tuple(self._cluster.nodes.all.values()),
            tuple(budget for budget in self._cluster.budgets.all.values() if budget.allowed < 1),
            self._unbound(),
            dict(self._cluster.succeeded),
            self._cluster.gone,
        )

    def snapshot(self, seen: CapturedCluster, now: datetime) -> Snapshot:
        """What the objects come to at `now`. One call at a time."""
        self._imagined = seen.imagined
        state = self._successors.applied(self._observe.snapshot(seen.objects, now), seen.objects.claims)
        pods = self._pods(seen.records) if state.pending or seen.strict else {}
        closed = self._closed(state.pending, pods, seen.nodes)
        held = self._kept_off(state.held, pods, state.nodes, seen.nodes) if state.pending else state.held
        silent = {node.meta.name for node in seen.objects.nodes if self._heartbeats.silent_since(node, now)}
        return replace(
            state,
            nodes=tuple(
                _closed(node) if node.ready and node.name in closed else node
                for node in (self._node(node, seen, node.name in silent) for node in state.nodes)
            ),
            pending=tuple(
                self._pending(request, pods.get(request.claim), seen, closed, now) for request in state.pending
            ),
            held=_protected(held, pods, seen) if seen.strict or seen.gone else held,
        )

    def imagined(self, seen: CapturedCluster, workload: Workload, now: datetime) -> CapturedCluster:
        """The same with the first pods of a workload, as the API server would have them if it were created now."""
        pods = imagined_pods.pods(workload, now)
        records = tuple(imagined_pods.claim_record(pod, index) for index, pod in enumerate(pods))
        made = (claims.claim(pod, record) for pod, record in zip(pods, records, strict=True))
        return replace(
            seen,
            objects=replace(seen.objects, claims=(*seen.objects.claims, *made)),
            records=(*seen.records, *records),
            imagined={(pod.namespace, pod.name): pod for pod in pods},
        )

    def stopped(self, claim: Claim, place: Grant) -> None:
        """A claim was stopped to be moved there; the pod that follows it has the place."""
        self._successors.promise(claim, place)

    def _closed(
        self, pending: Iterable[Request], pods: Mapping[str, GpuPod], nodes: Sequence[NodeRecord]
    ) -> frozenset[str]:
        """The cordoned nodes but those whose cordon a waiting pod tolerates: all others are kept off by exclusion."""
        found = {node.name for node in nodes if node_affinity.cordoned(node)}
        for pod in (pods.get(request.claim) for request in (pending if found else ())):
            if pod is not None:
                found.intersection_update(self._refusing_nodes(pod.constraints, nodes))
        return frozenset(found)

    def _kept_off(
        self,
        held: tuple[Holding, ...],
        pods: Mapping[str, GpuPod],
        gpu_nodes: Iterable[model.Node],
        nodes: Sequence[NodeRecord],
    ) -> tuple[Holding, ...]:
        """The holdings, with the GPU nodes that would refuse their pods: nothing is moved there."""
        there = frozenset(node.name for node in gpu_nodes)

        def excluding(holding: Holding) -> Holding:
            pod = pods.get(holding.request.claim)
            refusing = there.intersection(self._refusing_nodes(pod.constraints, nodes)) if pod is not None else ()
            return replace(holding, request=replace(holding.request, excluded=refusing)) if refusing else holding

        return tuple(map(excluding, held))

    def _pods(self, records: Iterable[ClaimRecord]) -> dict[str, GpuPod]:
        """The pods of claims, by the claim's uid."""
        pods = ((record.uid, self._imagined_pod(record) or self._cluster.pod_of(record)) for record in records)
        return {uid: pod for uid, pod in pods if pod is not None}

    def _imagined_pod(self, record: ClaimRecord) -> GpuPod | None:
        pod = self._imagined.get((record.namespace, record.pod))
        return pod if pod is not None and pod.uid == record.pod_uid else None

    def _node(self, node: model.Node, seen: CapturedCluster, silent: bool) -> model.Node:
        kubernetes_node = self._cluster.nodes.get(node.name)
        if kubernetes_node is None:
            return replace(node, ready=False)
        node = replace(node, pool=pool_of(node.pool, kubernetes_node.labels, seen.objects.pools))
        if silent:
            return replace(node, ready=False)
        unbound = seen.unbound.get(node.name, (0, 0))
        taken = self._cluster.requests(node.name)
        return replace(
            node,
            labels=MappingProxyType(kubernetes_node.labels),
            cpu_milli=kubernetes_node.allocatable[0] - taken[0] - unbound[0],
            memory_mib=kubernetes_node.allocatable[1] - taken[1] - unbound[1],
            ready=node.ready and kubernetes_node.ready and self._cluster.agent_ready(node.name) is not False,
        )

    def _unbound(self) -> dict[str, NodeResources]:
        """CPU and memory of pods that have an allocation and are not bound to its node yet, by node."""
        totals: dict[str, NodeResources] = defaultdict(lambda: (0, 0))
        for pod, record in self._cluster.starting():
            if record.grant is not None and not pod.node:
                cpu, memory = totals[record.grant.node]
                totals[record.grant.node] = (cpu + pod.requests[0], memory + pod.requests[1])
        return totals

    def _with_pod(self, claim: Claim, request: Request) -> Request:
        imagined = self._imagined.get((claim.meta.project, claim.meta.name))
        pod = imagined or self._cluster.pods.get(claim.meta.name, claim.meta.project)
        if not isinstance(pod, GpuPod):
            return request
        return replace(request, cpu_milli=pod.requests[0], memory_mib=pod.requests[1], gang=_gang(pod, 0))

    def _pending(
        self, request: Request, pod: GpuPod | None, seen: CapturedCluster, closed: frozenset[str], now: datetime
    ) -> Request:
        if pod is None:
            return request
        refused = exclusions.read(pod.annotations.get(names.EXCLUDED), now)
        refusing = {**exclusions.words(refused), **self._refusing_nodes(pod.constraints, seen.nodes)}
        for name in closed:
            if refusing.get(name) == node_affinity.CORDONED:
                del refusing[name]  # the node itself says so
        key = requests.gang_of(pod)
        gang = None if key is None else _gang(pod, seen.succeeded.get(key, 0))
        excluded = frozenset((*refusing, *refused))
        return replace(request, excluded=excluded, refusals=frozenset(refusing.items()), gang=gang)

    def _refusing_nodes(self, constraints: Constraints, nodes: Sequence[NodeRecord]) -> Mapping[str, str]:
        """Why nodes would refuse such a pod; computed once per template and change of nodes."""
        if self._refusing_of != self._cluster.nodes_changed:
            self._refusing.clear()
            self._refusing_of = self._cluster.nodes_changed
        key = msgspec.msgpack.encode(constraints)
        if key not in self._refusing:
            whys = ((node.name, node_affinity.refusal(node, constraints)) for node in nodes)
            self._refusing[key] = {name: why for name, why in whys if why}
        return self._refusing[key]


def _closed(node: model.Node) -> model.Node:
    return replace(node, ready=False, cordoned=True)


def _gang(pod: GpuPod, succeeded: int) -> Gang | None:
    spec, key = requests.gang(pod.annotations), requests.gang_of(pod)
    if spec is None or key is None:
        return None
    return Gang(key[1], requests.gang_size(pod, succeeded), spec.domain)


def _protected(held: tuple[Holding, ...], pods: Mapping[str, GpuPod], seen: CapturedCluster) -> tuple[Holding, ...]:
    """The holdings, with what protects each now: a disruption budget, or that nothing is left to evict it by."""
    whys = (_protection(holding.request.claim, pods.get(holding.request.claim), seen) for holding in held)
    return tuple(replace(holding, protected=why) if why else holding for holding, why in zip(held, whys, strict=True))


def _protection(claim: str, pod: GpuPod | None, seen: CapturedCluster) -> str:
    if claim in seen.gone:
        return "its claim was deleted; it ends with its pod"
    if pod is None:
        return ""
    for budget in seen.strict:
        if budget.namespace == pod.namespace and node_affinity.matches(budget.selector, pod.labels):
            return f"disruption budget {budget.name} allows no eviction now"
    return ""
