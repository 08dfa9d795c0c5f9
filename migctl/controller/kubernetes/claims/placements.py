"""Writes what was decided about a claim to its ResourceClaim and its pod.

    allocation           ResourceClaim.status.allocation, behind the delete-protection finalizer
    nomination, evicted  annotations of the pod
    reason, message      the pod's condition migctl.dev/Placed
    delete               the Eviction API, which respects disruption budgets

Allocating is the fence: it carries the ResourceClaim's uid and version, and what was decided on an
older one is refused by the API server. Everything after it may fail and is repeated by the
PlacedPodsReconciler, which opens the gate of whatever is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import CLAIMS
from migctl.backends.kubernetes.meaning import names, requests
from migctl.backends.kubernetes.meaning.records import ClaimRecord, GpuPod
from migctl.backends.merge import merged
from migctl.backends.protocol import Conflict, ControlPlaneError, Invalid, NotFound
from migctl.clock import Clock
from migctl.controller.kubernetes.claims.pod_patches import LONGEST_MESSAGE, PodPatches
from migctl.objects import Claim, GpuNode
from nodeagent.contract.wire import allocation_to_json, device_name
from solver.model.demand import DeviceShare, Grant

log = structlog.get_logger()

WRITABLE = ("allocation", "allocated", "nomination", "evicted", "reason", "message", "rounded")


class Placements:
    """The controller's writes of claims."""

    def __init__(self, api: KubernetesApi, cluster: ClusterCache, pods: PodPatches, clock: Clock) -> None:
        self._api = api
        self._cluster = cluster
        self._pods = pods
        self._clock = clock

    async def patch(self, obj: Claim, changes: Mapping[str, Any], fenced: bool) -> Claim:
        """Raises NotFound, Conflict (the claim changed since it was read), Invalid (not ours to write)."""
        wanted = merged(obj, changes)
        _check(obj, wanted)
        pod, record = self._current(obj, fenced)
        before, after = obj.status, wanted.status
        if after.allocation != before.allocation:
            if after.allocation is None:
                await self.release(record)
            else:
                await self._allocate(pod, record, after.allocation, after.rounded)
        else:
            notes = _notes(obj, wanted)
            if notes:
                await self._pods.annotate(pod, notes)
            said = (after.reason, after.message[:LONGEST_MESSAGE])
            if said != (before.reason, before.message) and not after.evicted:
                await self._pods.waits(pod, *said)
        newest = self._cluster.get(Claim, obj.meta.name, obj.meta.project)
        return newest if newest is not None and newest.meta.uid == obj.meta.uid else wanted

    async def evict(self, obj: Claim) -> None:
        """Request the pod's eviction. Raises BudgetExhausted where a disruption budget is in the way."""
        pod, _ = self._current(obj, fenced=False)
        await self._pods.evict(pod)

    async def release(self, record: ClaimRecord) -> None:
        """Clear an allocation. The API server refuses once it is reserved."""
        body = {"metadata": _fence(record), "status": {"allocation": None}}
        answer = await self._api.patch(CLAIMS, record.name, body, record.namespace, subresource="status")
        self._cluster.take(CLAIMS, answer)

    async def _allocate(self, pod: GpuPod, record: ClaimRecord, grant: Grant, rounded: str) -> None:
        if names.PROTECTION not in record.finalizers:
            protected = {**_fence(record), "finalizers": [*record.finalizers, names.PROTECTION]}
            record = self._taken(await self._write(record, {"metadata": protected}, ""))
        allocation = allocation_to_json(grant, self._naming(grant), self._clock(), requests.of_devices(pod.annotations))
        body = {"metadata": _fence(record), "status": {"allocation": allocation}}
        self._taken(await self._write(record, body, "status"))
        self._pods.record_placed(pod, f"on {grant.node}: {_devices(allocation)}" + (f"; {rounded}" if rounded else ""))
        try:
            await self._pods.placed(pod, rounded, open_gate=names.GANG_SIZE not in pod.annotations)
        except ControlPlaneError as error:
            log.warning("allocated, but the gate is still closed", pod=pod.name, error=str(error))

    async def _write(self, record: ClaimRecord, body: Mapping[str, Any], subresource: str) -> bytes:
        try:
            return await self._api.patch(CLAIMS, record.name, body, record.namespace, subresource=subresource)
        except (Conflict, NotFound):
            await self.refresh(record)
            raise

    async def refresh(self, record: ClaimRecord) -> None:
        """Read a claim that turned out to be different from what was seen."""
        try:
            self._cluster.take(CLAIMS, await self._api.get(CLAIMS, record.name, record.namespace))
        except NotFound:
            self._cluster.deleted(CLAIMS, record)

    def _taken(self, answer: bytes) -> ClaimRecord:
        self._cluster.take(CLAIMS, answer)
        metadata = CLAIMS.one.decode(answer).metadata
        record = self._cluster.claims.get(metadata.name, metadata.namespace)
        if record is None or record.version < int(metadata.resource_version):
            raise NotFound(f"claim {metadata.name!r} does not exist any more")
        return record

    def _current(self, obj: Claim, fenced: bool) -> tuple[GpuPod, ClaimRecord]:
        """The newest records of this very claim."""
        pod = self._cluster.pods.get(obj.meta.name, obj.meta.project)
        record = self._cluster.claims.get(pod.claim, obj.meta.project) if isinstance(pod, GpuPod) else None
        if not isinstance(pod, GpuPod) or record is None or record.uid != obj.meta.uid or record.pod_uid != pod.uid:
            raise NotFound(f"there is no claim of pod {obj.meta.name!r} in project {obj.meta.project!r}")
        if fenced and str(pod.version + record.version) != obj.meta.version:
            raise Conflict(f"the claim of pod {obj.meta.name!r} was changed since it was read")
        return pod, record

    def _naming(self, grant: Grant) -> Callable[[DeviceShare], str]:
        """The device name, "gpu-0-..." of a share of a grant's node."""
        node = self._cluster.get(GpuNode, grant.node)
        report = node.status.report if node else None
        indexes = {gpu.uuid: gpu.index for gpu in report.gpus} if report else {}
        return lambda share: device_name(indexes.get(share.gpu, 0), share)


def _devices(allocation: Mapping[str, Any]) -> str:
    return ", ".join(result["device"] for result in allocation["devices"]["results"])


def _fence(record: ClaimRecord) -> dict[str, Any]:
    return {"uid": record.uid, "resourceVersion": str(record.version)}


def _check(obj: Claim, wanted: Claim) -> None:
    """Raises Invalid for a field that is not in WRITABLE."""
    if (obj.meta, obj.spec) != (wanted.meta, wanted.spec):
        raise Invalid("a claim's meta and spec are its pod's: they cannot be patched")
    for field in msgspec.structs.fields(type(obj.status)):
        if field.name not in WRITABLE and getattr(obj.status, field.name) != getattr(wanted.status, field.name):
            raise Invalid(f"status.{field.encode_name}: Kubernetes says this, nobody else", field=field.encode_name)


def _notes(obj: Claim, wanted: Claim) -> dict[str, str | None]:
    """The annotations that differ; None removes one."""
    notes: dict[str, str | None] = {}
    if obj.status.nomination != wanted.status.nomination:
        nominated = wanted.status.nomination
        notes[names.NOMINATION] = msgspec.json.encode(nominated).decode() if nominated is not None else None
    if obj.status.evicted != wanted.status.evicted:
        notes[names.EVICTED] = wanted.status.evicted or None
    return notes
