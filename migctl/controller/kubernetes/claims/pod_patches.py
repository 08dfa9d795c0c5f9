"""Writes on pods: scheduling gate, annotations, the condition migctl.dev/Placed, eviction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import PODS
from migctl.backends.kubernetes.client.transport import STRATEGIC_PATCH
from migctl.backends.kubernetes.meaning import names
from migctl.backends.kubernetes.meaning.records import GpuPod
from migctl.backends.kubernetes.stores import eviction
from migctl.backends.kubernetes.stores.event_recorder import EventRecorder
from migctl.backends.protocol import Conflict, NotFound
from migctl.clock import Clock

LONGEST_MESSAGE = 1000
"""Of a condition. What is longer is cut, and equal to what stands there if it is equal up to here."""


class PodPatches:
    """What the controller writes on pods. Each write names the pod's uid: another pod of its name is never changed."""

    def __init__(self, api: KubernetesApi, cluster: ClusterCache, recorder: EventRecorder, clock: Clock) -> None:
        self._api = api
        self._cluster = cluster
        self._recorder = recorder
        self._clock = clock
        self._opening: set[str] = set()

    async def placed(self, pod: GpuPod, rounded: str, *, open_gate: bool) -> None:
        """Annotate a pod that has an allocation; with open_gate, let kube-scheduler bind it.

        Whoever allocates opens the gate, and so does the next round that finds an allocation behind it: a gate that
        is being opened is left to whom opens it.
        """
        if not open_gate:
            await self._note_placed(pod, rounded, open_gate=False)
        elif pod.uid not in self._opening:
            self._opening.add(pod.uid)
            try:
                await self._note_placed(self._newest(pod), rounded, open_gate=True)
            finally:
                self._opening.discard(pod.uid)

    def _newest(self, pod: GpuPod) -> GpuPod:
        known = self._cluster.pods.get(pod.name, pod.namespace)
        return known if isinstance(known, GpuPod) and known.uid == pod.uid else pod

    async def _note_placed(self, pod: GpuPod, rounded: str, *, open_gate: bool) -> None:
        changed = {names.NOMINATION: None, names.PLACED: rounded or None}
        notes = {key: value for key, value in changed.items() if value != pod.annotations.get(key)}
        body: dict[str, Any] = {"metadata": {"annotations": notes}} if notes else {}
        if open_gate and pod.gated:
            body["spec"] = {"schedulingGates": [{"$patch": "delete", "name": names.GATE}]}
        if body:
            await self._patch(pod, body)
        if pod.placed is not None and pod.placed.status != "True":
            await self._condition(pod, "True", "Placed", "")

    def record_placed(self, pod: GpuPod, where: str) -> None:
        """An event that names node and devices."""
        self._recorder.about_pod(pod, "Placed", where)

    async def annotate(self, pod: GpuPod, notes: Mapping[str, str | None]) -> None:
        """Set annotations; None removes one."""
        await self._patch(pod, {"metadata": {"annotations": dict(notes)}})

    async def waits(self, pod: GpuPod, reason: str, message: str) -> None:
        """Say why the pod has no allocation: in its condition, and in an event for `kubectl describe`."""
        await self._condition(pod, "False", reason, message)
        self._recorder.about_pod(pod, _camel(reason), message, warning=True)

    async def evict(self, pod: GpuPod) -> None:
        """Call the Eviction API. Raises BudgetExhausted, NotFound."""
        await eviction.evict(self._api, pod)

    async def refresh(self, pod: GpuPod) -> None:
        """Read a pod that turned out to be different from what was seen."""
        try:
            self._cluster.take(PODS, await self._api.get(PODS, pod.name, pod.namespace))
        except NotFound:
            self._cluster.deleted(PODS, pod)

    async def _condition(self, pod: GpuPod, status: str, reason: str, message: str) -> None:
        condition = {
            "type": names.PLACED_CONDITION,
            "status": status,
            "reason": reason,
            "message": message[:LONGEST_MESSAGE],
            "lastTransitionTime": self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        await self._patch(pod, {"status": {"conditions": [condition]}}, subresource="status")

    async def _patch(self, pod: GpuPod, body: dict[str, Any], subresource: str = "") -> None:
        body = {**body, "metadata": {**body.get("metadata", {}), "uid": pod.uid}}
        try:
            answer = await self._api.patch(
                PODS, pod.name, body, pod.namespace, subresource=subresource, content_type=STRATEGIC_PATCH
            )
        except (Conflict, NotFound):
            await self.refresh(pod)
            raise
        self._cluster.take(PODS, answer)


def _camel(reason: str) -> str:
    """A code as Kubernetes writes reasons: "no-legal-start" is "NoLegalStart"."""
    return "".join(part[:1].upper() + part[1:] for part in reason.split("-"))
