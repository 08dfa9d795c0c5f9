"""ClusterCache: a live copy of what matters of a Kubernetes cluster, in the objects of the control plane.

Reflectors fill the records. Projects, departments and GPU nodes are made of them as they arrive, claims when they
are read; each is remade only where something changed. The controller reads it as it reads a Mirror.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, cast

import structlog

from migctl.backends.kubernetes.cache.claims import ClaimCache
from migctl.backends.kubernetes.cache.indexes import GpuHolders, PodIndex, PodRecord
from migctl.backends.kubernetes.cache.newest import Key, NewestRecords
from migctl.backends.kubernetes.cache.reflector import DEFAULT_TIMING, Reflector, Timing
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import (
    BUDGETS,
    CLAIMS,
    DEPARTMENTS,
    GPU_NODES,
    NAMESPACES,
    NODE_POOLS,
    NODES,
    PODS,
    PROJECTS,
    TEMPLATES,
    Resource,
)
from migctl.backends.kubernetes.meaning import custom, record_of
from migctl.backends.kubernetes.meaning.quantities import NodeResources
from migctl.backends.kubernetes.meaning.records import (
    BudgetRecord,
    ClaimRecord,
    CustomRecord,
    GpuPod,
    MetadataRecord,
    NodeRecord,
    ObjectRecord,
)
from migctl.backends.protocol import Invalid
from migctl.objects import Claim, Department, GpuNode, NodePool, Object, Project, T

log = structlog.get_logger()

PAUSE_S = 0.05


class ClusterCache:
    """Records of one cluster, what they mean, and a way to wait for their next change.

    generation     grows with every batch of changes
    nodes_changed  grows with every change of a Node
    """

    def __init__(
        self,
        api: KubernetesApi,
        timing: Timing = DEFAULT_TIMING,
        more: Mapping[Resource[Any], NewestRecords[Any, Any]] | None = None,
    ) -> None:
        """`more`: records of other kinds, filled beside; their changes count as changes."""
        self.generation = 0
        self.nodes_changed = 0
        self._news = asyncio.Condition()
        self._waker: asyncio.Task[None] | None = None
        self._made: dict[type[Any], dict[Key, Any]] = {Project: {}, Department: {}, GpuNode: {}, NodePool: {}}
        self._pod_index = PodIndex()
        self._gpu_holders = GpuHolders()
        self.pods: NewestRecords[Any, PodRecord] = NewestRecords(record_of.pod, self._pod_changed)
        self.claims: NewestRecords[Any, ClaimRecord] = NewestRecords(record_of.claim, self._claim_changed)
        self.nodes: NewestRecords[Any, NodeRecord] = NewestRecords(record_of.node, self._node_changed)
        self.budgets: NewestRecords[Any, BudgetRecord] = NewestRecords(record_of.budget, _ignore)
        self.namespaces: NewestRecords[Any, MetadataRecord] = NewestRecords(record_of.bare, _ignore)
        self.templates: NewestRecords[Any, MetadataRecord] = NewestRecords(record_of.bare, _ignore)
        self.projects = self._custom(Project, custom.project)
        self._claims = ClaimCache(self.claims, self.pods.get)
        self._sinks: dict[Resource[Any], NewestRecords[Any, Any]] = {
            PODS: self.pods,
            CLAIMS: self.claims,
            NODES: self.nodes,
            BUDGETS: self.budgets,
            PROJECTS: self.projects,
            DEPARTMENTS: self._custom(Department, custom.department),
            GPU_NODES: self._custom(GpuNode, custom.node, self._gpu_node_changed),
            NODE_POOLS: self._custom(NodePool, custom.node_pool),
            NAMESPACES: self.namespaces,
            TEMPLATES: self.templates,
            **(more or {}),
        }
        self.reflectors = tuple(
            Reflector(api, resource, sink, self.changed, timing) for resource, sink in self._sinks.items()
        )

    async def run(self) -> None:
        """Update the copy until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self.reflectors:
                tasks.create_task(reflector.run())

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed and its changes arrive."""
        return all(reflector.synced for reflector in self.reflectors)

    async def wait(self, seen: int, timeout: float | None = None) -> int:
        """The generation, as soon as it differs from `seen`, or after `timeout` seconds."""
        async with self._news:
            try:
                async with asyncio.timeout(timeout):
                    await self._news.wait_for(lambda: self.generation != seen)
            except TimeoutError:
                pass
            return self.generation

    async def rounds(self, longest_s: float) -> AsyncIterator[None]:
        """A round whenever something changed, and after `longest_s` anyway, while the cache is synced.

        Changes come in bursts: between two rounds is a pause, in which they add up.
        """
        seen = -1
        while True:
            seen = await self.wait(seen, longest_s)
            if self.synced:
                yield
            await asyncio.sleep(PAUSE_S)

    def take_all(self, resource: Resource[Any], objects: Iterable[Any]) -> None:
        """Take in objects that were listed once, into a copy without reflectors."""
        for obj in objects:
            self._sinks[resource].put(obj)

    def take(self, resource: Resource[Any], body: bytes) -> None:
        """Take in an object that a write of ours was answered with."""
        self._sinks[resource].put(resource.one.decode(body))
        self.changed()

    def deleted(self, resource: Resource[Any], record: ObjectRecord) -> None:
        """Take in that the object of a record does not exist any more."""
        self._sinks[resource].remove(record)
        self.changed()

    async def absorb(self, obj: Object) -> None:
        """Nothing to do: the raw answers of our writes were taken in already."""

    def all(self, kind: type[T]) -> tuple[T, ...]:
        """The objects of a kind: Claim, Project, Department, NodePool or GpuNode; none of others."""
        return tuple(cast("Mapping[Key, T]", self._objects(kind)).values())

    def get(self, kind: type[T], name: str, project: str = "") -> T | None:
        """One object; a claim has its pod's name."""
        if kind is Claim:
            pod = self.pods.get(name, project)
            name = pod.claim if isinstance(pod, GpuPod) else ""
        return cast("T | None", self._objects(kind).get((project, name)))

    def _objects(self, kind: type[Any]) -> Mapping[Key, Any]:
        return self._claims.all() if kind is Claim else self._made.get(kind, {})

    def pod_of(self, claim: ClaimRecord) -> GpuPod | None:
        """The pod that a claim was made for, while it exists."""
        return self._claims.pod_of(claim)

    @property
    def gone(self) -> frozenset[str]:
        """The uids of claims that were deleted and whose devices an agent still holds."""
        return self._claims.gone

    def holders(self, gpu: str) -> tuple[ClaimRecord, ...]:
        """The claims that hold a part of a GPU."""
        keys = self._gpu_holders.claims(gpu)
        return tuple(record for key in keys if (record := self.claims.get(key[1], key[0])) is not None)

    def pod_of_workload(self, name: str, project: str) -> GpuPod | None:
        """A pod of a workload, while it has one."""
        return self._claims.pod_of_workload(name, project)

    def starting(self) -> tuple[tuple[GpuPod, ClaimRecord], ...]:
        """Pods that have an allocation and do not run yet."""
        return self._claims.starting()

    def suspended(self) -> tuple[tuple[GpuPod, Claim], ...]:
        """Pods that something else than their place holds back, and their claims, which say what."""
        return self._claims.suspended()

    def requests(self, node: str) -> NodeResources:
        """CPU and memory that the pods bound to a node reserve."""
        return self._pod_index.requests(node)

    @property
    def succeeded(self) -> Mapping[tuple[str, str], int]:
        """How many members of each gang have ended well."""
        return self._pod_index.succeeded

    def agent_ready(self, node: str) -> bool | None:
        """Whether the node's agent pod is ready; None where no agent runs as a pod there."""
        return self._pod_index.agent_ready(node)

    def _pod_changed(self, before: PodRecord | None, after: PodRecord | None) -> None:
        self._pod_index.update(before, after)
        self._claims.pod_changed(before, after)

    def _claim_changed(self, before: ClaimRecord | None, after: ClaimRecord | None) -> None:
        self._gpu_holders.update(before, after)
        self._claims.claim_changed(before, after)

    def _node_changed(self, before: NodeRecord | None, after: NodeRecord | None) -> None:
        self.nodes_changed += 1

    def _gpu_node_changed(self, name: str, node: GpuNode | None) -> None:
        report = node.status.report if node is not None else None
        self._claims.reported(name, report.allocations if report is not None else ())

    def _custom(
        self, kind: type[Any], make: Callable[[Any], Any], hear: Callable[[str, Any], None] = lambda name, made: None
    ) -> NewestRecords[Any, CustomRecord]:
        """Records of a custom resource, and the objects made of them; one that cannot be read stays as it was."""
        made = self._made[kind]

        def changed(before: CustomRecord | None, after: CustomRecord | None) -> None:
            if after is None:
                assert before is not None
                made.pop((before.namespace, before.name), None)
                hear(before.name, None)
                return
            try:
                made["", after.name] = make(after.raw)
            except Invalid as error:
                log.error("cannot read", object=after.name, error=str(error))
                return
            hear(after.name, made["", after.name])

        return NewestRecords(record_of.custom, changed)

    def changed(self) -> None:
        """Count a change, and wake those who wait, once for however many changes come at once."""
        self.generation += 1
        if self._waker is None or self._waker.done():
            self._waker = asyncio.get_running_loop().create_task(self._wake())

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()


def _ignore(before: ObjectRecord | None, after: ObjectRecord | None) -> None:
    """Of records that are read as they are."""
