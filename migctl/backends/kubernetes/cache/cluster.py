"""Cluster: a live copy of what matters of a Kubernetes cluster, in the objects of the control plane.

Reflectors fill the records; projects, nodes and claims are made of them when they are asked for and
remade only where something changed. The controller sees it as it sees a Mirror.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, cast

import structlog

from migctl.backends.kubernetes.cache import records
from migctl.backends.kubernetes.cache.newest import Kept, Key
from migctl.backends.kubernetes.cache.records import (
    BareRecord,
    BudgetRecord,
    Bystander,
    ClaimRecord,
    CustomRecord,
    GpuPod,
    NodeRecord,
    Record,
)
from migctl.backends.kubernetes.cache.reflector import USUAL, Reflector, Timing
from migctl.backends.kubernetes.client.api import Api
from migctl.backends.kubernetes.client.kinds import Pod, ResourceClaim
from migctl.backends.kubernetes.client.resources import (
    BUDGETS,
    CLAIMS,
    DEPARTMENTS,
    GPU_NODES,
    NAMESPACES,
    NODES,
    PODS,
    PROJECTS,
    TEMPLATES,
    Resource,
)
from migctl.backends.kubernetes.meaning import claims, custom
from migctl.backends.kubernetes.meaning.quantities import Room
from migctl.backends.protocol import Invalid
from migctl.objects import Claim, Department, GpuNode, Object, Phase, Project, T

log = structlog.get_logger()

PodRecord = GpuPod | Bystander
PAUSE_S = 0.05


class Cluster:
    """Records of one cluster, what they mean, and a way to wait for their next change."""

    def __init__(self, api: Api, timing: Timing = USUAL) -> None:
        self.generation = 0
        self._news = asyncio.Condition()
        self._waker: asyncio.Task[None] | None = None
        self.pods: Kept[Pod, PodRecord] = Kept(records.pod, self._pod_changed)
        self.claims: Kept[ResourceClaim, ClaimRecord] = Kept(records.claim, self._claim_changed)
        self.nodes: Kept[Any, NodeRecord] = Kept(records.node, self._node_changed)
        self.budgets: Kept[Any, BudgetRecord] = Kept(records.budget, self._nothing)
        self.namespaces: Kept[Any, BareRecord] = Kept(records.bare, self._nothing)
        self.templates: Kept[Any, BareRecord] = Kept(records.bare, self._nothing)
        self._projects: dict[Key, Project] = {}
        self._departments: dict[Key, Department] = {}
        self._gpu_nodes: dict[Key, GpuNode] = {}
        self.projects: Kept[Any, CustomRecord] = Kept(records.custom, self._remade(self._projects, custom.project))
        self.departments: Kept[Any, CustomRecord] = Kept(
            records.custom, self._remade(self._departments, custom.department)
        )
        self.gpu_nodes: Kept[Any, CustomRecord] = Kept(records.custom, self._remade(self._gpu_nodes, custom.node))
        self._claims: dict[Key, Claim] = {}
        self._of_workload: defaultdict[Key, set[Key]] = defaultdict(set)
        self._stale: set[Key] = set()
        self._unsettled: set[Key] = set()
        self._taken: dict[str, Room] = {}
        self._agents: dict[str, dict[Key, bool]] = {}
        self._by_gpu: dict[str, set[Key]] = {}
        self.nodes_changed = 0
        """Grows with every change of a machine."""
        self._sinks: dict[Resource[Any], Kept[Any, Any]] = {
            PODS: self.pods,
            CLAIMS: self.claims,
            NODES: self.nodes,
            BUDGETS: self.budgets,
            PROJECTS: self.projects,
            DEPARTMENTS: self.departments,
            GPU_NODES: self.gpu_nodes,
            NAMESPACES: self.namespaces,
            TEMPLATES: self.templates,
        }
        self.reflectors = tuple(
            Reflector(api, resource, sink, self._changed, timing) for resource, sink in self._sinks.items()
        )

    async def run(self) -> None:
        """Keep the copy until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self.reflectors:
                tasks.create_task(reflector.run())

    @property
    def synced(self) -> bool:
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
        """A round whenever something changed, and after `longest_s` anyway, while all is seen.

        Changes come in bursts: between two rounds is a pause, in which they add up.
        """
        seen = -1
        while True:
            seen = await self.wait(seen, longest_s)
            if self.synced:
                yield
            await asyncio.sleep(PAUSE_S)

    def take_all(self, resource: Resource[Any], objects: Iterable[Any]) -> None:
        """Take in objects that were read at once, into a copy that is not kept."""
        for obj in objects:
            self._sinks[resource].put(obj)

    def take(self, resource: Resource[Any], body: bytes) -> None:
        """Take in an object that a write of ours was answered with."""
        self._sinks[resource].put(resource.one.decode(body))
        self._changed()

    def lost(self, resource: Resource[Any], record: Record) -> None:
        """Take in that the object of a record is gone."""
        self._sinks[resource].lose(record)
        self._changed()

    async def absorb(self, obj: Object) -> None:
        """Nothing to do: the raw answers of our writes were taken in already."""

    def all(self, kind: type[T]) -> tuple[T, ...]:
        return tuple(cast("Mapping[Key, T]", self._objects(kind)).values())

    def get(self, kind: type[T], name: str, project: str = "") -> T | None:
        if kind is Claim:
            pod = self.pods.get(name, project)
            return cast("T | None", self._objects(kind).get((project, pod.claim)) if isinstance(pod, GpuPod) else None)
        return cast("T | None", self._objects(kind).get((project, name)))

    def _objects(self, kind: type[Any]) -> Mapping[Key, Any]:
        if kind is Claim:
            for key in self._stale:
                self._rejoin(key)
            self._stale.clear()
            return self._claims
        if kind is Project:
            return self._projects
        if kind is Department:
            return self._departments
        return self._gpu_nodes if kind is GpuNode else {}

    def pod_of(self, claim: ClaimRecord) -> GpuPod | None:
        """The pod that a claim was made for, while it lives."""
        pod = self.pods.get(claim.pod, claim.namespace)
        return pod if isinstance(pod, GpuPod) and pod.uid == claim.pod_uid else None

    def holders(self, gpu: str) -> tuple[ClaimRecord, ...]:
        """The claims that hold a part of a GPU."""
        keys = self._by_gpu.get(gpu, ())
        return tuple(record for key in keys if (record := self.claims.get(key[1], key[0])) is not None)

    def pod_of_workload(self, name: str, project: str) -> GpuPod | None:
        """A pod of a workload, while it has one."""
        self._objects(Claim)
        records = (self.claims.get(key[1], key[0]) for key in self._of_workload.get((project, name), ()))
        pods = (self.pod_of(record) for record in records if record is not None)
        return next((pod for pod in pods if pod is not None), None)

    def unsettled(self) -> tuple[tuple[GpuPod, ClaimRecord], ...]:
        """Pods that have a place and do not run yet."""
        self._objects(Claim)
        found = []
        for key in self._unsettled:
            record = self.claims.get(key[1], key[0])
            pod = self.pod_of(record) if record else None
            if record is not None and pod is not None:
                found.append((pod, record))
        return tuple(found)

    def taken(self, node: str) -> Room:
        """CPU and memory that pods have reserved on a node."""
        return self._taken.get(node, (0, 0))

    def agent_ready(self, node: str) -> bool | None:
        """Whether the node's agent pod is ready; None where no agent runs as a pod there."""
        agents = self._agents.get(node)
        return any(agents.values()) if agents else None

    def _rejoin(self, key: Key) -> None:
        """Make a claim anew of what is known of it now."""
        record = self.claims.get(key[1], key[0])
        pod = self.pod_of(record) if record else None
        self._unsettled.discard(key)
        last = self._claims.get(key)
        if last is not None:
            self._of_workload[last.meta.project, last.spec.workload].discard(key)
            if not self._of_workload[last.meta.project, last.spec.workload]:
                del self._of_workload[last.meta.project, last.spec.workload]
        if record is None or (pod is None and record.grant is None):
            self._claims.pop(key, None)
            return
        if pod is None:
            self._claims[key] = made = claims.orphan(record, last)
        else:
            self._claims[key] = made = claims.claim(pod, record)
            if made.status.phase is Phase.INITIALIZING:
                self._unsettled.add(key)
        self._of_workload[made.meta.project, made.spec.workload].add(key)

    def _pod_changed(self, before: PodRecord | None, after: PodRecord | None) -> None:
        for pod, sign in ((before, -1), (after, 1)):
            if pod is None:
                continue
            if pod.node:
                self._reserve(pod, sign)
            if isinstance(pod, GpuPod) and pod.claim:
                self._stale.add((pod.namespace, pod.claim))
        self._note_agent(before, after)

    def _reserve(self, pod: PodRecord, sign: int) -> None:
        cpu, memory = self._taken.get(pod.node, (0, 0))
        self._taken[pod.node] = (cpu + sign * pod.room[0], memory + sign * pod.room[1])

    def _note_agent(self, before: PodRecord | None, after: PodRecord | None) -> None:
        if isinstance(before, Bystander) and before.agent is not None:
            self._agents.get(before.node, {}).pop((before.namespace, before.name), None)
        if isinstance(after, Bystander) and after.agent is not None:
            self._agents.setdefault(after.node, {})[after.namespace, after.name] = after.agent

    def _claim_changed(self, before: ClaimRecord | None, after: ClaimRecord | None) -> None:
        self._stale.update((record.namespace, record.name) for record in (before, after) if record is not None)
        if before is not None and before.grant is not None:
            for share in before.grant.devices:
                self._by_gpu[share.gpu].discard((before.namespace, before.name))
        if after is not None and after.grant is not None:
            for share in after.grant.devices:
                self._by_gpu.setdefault(share.gpu, set()).add((after.namespace, after.name))

    def _node_changed(self, before: NodeRecord | None, after: NodeRecord | None) -> None:
        self.nodes_changed += 1

    def _nothing(self, before: Record | None, after: Record | None) -> None:
        """Records that are read as they are."""

    def _remade(
        self, kept: dict[Key, Any], make: Callable[[Any], Any]
    ) -> Callable[[CustomRecord | None, CustomRecord | None], None]:
        """Keeps the objects made of custom resources; what cannot be read stays as it was, with a word in the log."""

        def changed(before: CustomRecord | None, after: CustomRecord | None) -> None:
            if after is None:
                assert before is not None
                kept.pop((before.namespace, before.name), None)
                return
            try:
                kept["", after.name] = make(after.raw)
            except Invalid as error:
                log.error("cannot read", object=after.name, error=str(error))

        return changed

    def _changed(self) -> None:
        """Wake those who wait, once for however many changes come at once."""
        self.generation += 1
        if self._waker is None or self._waker.done():
            self._waker = asyncio.get_running_loop().create_task(self._wake())

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()
