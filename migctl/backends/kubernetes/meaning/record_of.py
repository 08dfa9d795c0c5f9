"""The record of each kind of Kubernetes object."""

from __future__ import annotations

from datetime import datetime
from sys import intern

from migctl.backends.kubernetes.client import claim_kinds, kinds, pod_kinds
from migctl.backends.kubernetes.meaning import names
from migctl.backends.kubernetes.meaning.quantities import cpu_and_memory, requested
from migctl.backends.kubernetes.meaning.records import (
    TERMINAL,
    BudgetRecord,
    ClaimRecord,
    ConditionState,
    Constraints,
    CustomRecord,
    GpuPod,
    MetadataRecord,
    NodeRecord,
    NonGpuPod,
)
from nodeagent.contract.wire import NotOurs, grant_from_json

TEMPLATES = (names.CLAIM, names.CONTAINERS_TEMPLATE)


def pod(obj: pod_kinds.Pod) -> GpuPod | NonGpuPod:
    """The record of a pod."""
    meta, spec, status = obj.metadata, obj.spec, obj.status
    taken = (0, 0) if status.phase in TERMINAL else requested(spec)
    ours = next((c for c in spec.resource_claims or () if c.resource_claim_template_name in TEMPLATES), None)
    if ours is None:
        return NonGpuPod(
            name=meta.name,
            namespace=intern(meta.namespace),
            uid=meta.uid,
            version=int(meta.resource_version),
            node=intern(spec.node_name),
            requests=taken,
            agent=_ready(obj) if (meta.labels or {}).get("app.kubernetes.io/component") == "migctl-agent" else None,
        )
    claims = {c.name: c.resource_claim_name or "" for c in status.resource_claim_statuses or ()}
    waiting, exit_code = _containers(status)
    containers = spec.containers or ()
    return GpuPod(
        name=meta.name,
        namespace=intern(meta.namespace),
        uid=meta.uid,
        version=int(meta.resource_version),
        node=intern(spec.node_name),
        requests=taken,
        created=meta.creation_timestamp,
        deleting=meta.deletion_timestamp,
        labels=meta.labels or {},
        annotations={k: v for k, v in (meta.annotations or {}).items() if k in names.KNOWN_ANNOTATIONS},
        owner=meta.controller or _maker((meta.annotations or {}).get(names.MADE_BY, "")),
        claim=claims.get(ours.name, ""),
        gates=tuple(gate.name for gate in spec.scheduling_gates or ()),
        constraints=Constraints(spec.node_selector, _required(spec.affinity), spec.tolerations),
        priority=spec.priority,
        priority_class=spec.priority_class_name,
        phase=status.phase,
        reason=status.reason,
        message=status.message,
        scheduled=_verdict(obj.condition("PodScheduled")),
        placed=_verdict(obj.condition(names.PLACED_CONDITION)),
        waiting=waiting,
        started=status.start_time,
        exit_code=exit_code,
        image=containers[0].image if containers else "",
        grace_s=30 if spec.termination_grace_period_seconds is None else spec.termination_grace_period_seconds,
    )


def claim(obj: claim_kinds.ResourceClaim) -> ClaimRecord | None:
    """The record of a claim, None for one that is not ours."""
    meta = obj.metadata
    if names.DEVICE_CLASS not in obj.classes:
        return None
    owner = next((o for o in meta.owner_references or () if o.kind == "Pod"), None)
    if owner is None:
        return None
    grant, broken, allocated = None, "", None
    if obj.status.allocation is not None:
        try:
            grant = grant_from_json(obj.status.allocation)
        except NotOurs as error:
            broken = str(error)
        stamp = obj.status.allocation.get("allocationTimestamp")
        allocated = datetime.fromisoformat(stamp) if stamp else None
    return ClaimRecord(
        name=meta.name,
        namespace=intern(meta.namespace),
        uid=meta.uid,
        version=int(meta.resource_version),
        pod=owner.name,
        pod_uid=owner.uid,
        created=meta.creation_timestamp,
        deleting=meta.deletion_timestamp,
        finalizers=meta.finalizers or (),
        grant=grant,
        broken=broken,
        allocated=allocated,
        reserved=bool(obj.status.reserved_for),
    )


def node(obj: kinds.KubernetesNode) -> NodeRecord:
    """The record of a Node."""
    return NodeRecord(
        name=obj.metadata.name,
        uid=obj.metadata.uid,
        version=int(obj.metadata.resource_version),
        labels=obj.metadata.labels or {},
        ready=any(c.type == "Ready" and c.status == "True" for c in obj.status.conditions or ()),
        unschedulable=obj.spec.unschedulable,
        taints=obj.spec.taints or (),
        allocatable=cpu_and_memory(obj.status.allocatable),
    )


def budget(obj: kinds.Budget) -> BudgetRecord:
    """The record of a PodDisruptionBudget."""
    meta = obj.metadata
    return BudgetRecord(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        version=int(meta.resource_version),
        selector=obj.spec.selector,
        allowed=obj.status.disruptions_allowed,
    )


def custom(obj: kinds.CustomResource) -> CustomRecord:
    """The record of a custom resource of ours."""
    meta = obj.metadata
    return CustomRecord(name=meta.name, uid=meta.uid, version=int(meta.resource_version), raw=obj)


def bare(obj: kinds.PartialObjectMetadata) -> MetadataRecord:
    """The record of an object whose metadata is all that matters."""
    meta = obj.metadata
    return MetadataRecord(
        name=meta.name, namespace=meta.namespace, uid=meta.uid, version=int(meta.resource_version), metadata=meta
    )


def _maker(text: str) -> kinds.Owner | None:
    """What made a pod that its controller has let go of."""
    kind, _, named = text.partition("/")
    name, _, uid = named.partition("/")
    return kinds.Owner(kind=kind, name=name, uid=uid, controller=True) if uid else None


def _ready(obj: pod_kinds.Pod) -> bool:
    condition = obj.condition("Ready")
    return condition is not None and condition.status == "True" and obj.metadata.deletion_timestamp is None


def _required(affinity: pod_kinds.Affinity | None) -> kinds.NodeSelector | None:
    return affinity.node_affinity.required if affinity and affinity.node_affinity else None


def _verdict(condition: kinds.Condition | None) -> ConditionState | None:
    return ConditionState(condition.status, condition.reason, condition.message or "") if condition else None


def _containers(status: pod_kinds.PodStatus) -> tuple[ConditionState | None, int | None]:
    """Why the first waiting container waits, and the worst exit code of those that ended."""
    states = [c.state for c in status.container_statuses or () if c.state is not None]
    waiting = next((s.waiting for s in states if s.waiting is not None), None)
    codes = [s.terminated.exit_code for s in states if s.terminated is not None]
    return (
        ConditionState("False", waiting.reason, waiting.message) if waiting else None,
        max(codes, default=None),
    )
