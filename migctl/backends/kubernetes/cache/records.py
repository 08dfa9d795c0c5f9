"""What is kept of each Kubernetes object: only what a decision or a person needs.

A cluster has a hundred thousand pods. One that asks for GPUs becomes a GpuPod, all others a
Bystander, which only takes up room on its node. `version` is the resourceVersion as a number.
"""

from __future__ import annotations

from datetime import datetime
from sys import intern

import msgspec

from migctl.backends.kubernetes.client import kinds
from migctl.backends.kubernetes.meaning import names
from migctl.backends.kubernetes.meaning.quantities import Room, requested, room
from nodeagent.contract.wire import NotOurs, grant_from_json
from solver.model.demand import Grant

TERMINAL = ("Succeeded", "Failed")


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Identity, which all records have."""

    name: str
    namespace: str = ""
    uid: str
    version: int


class Bystander(Record, frozen=True):
    """A pod that asks for no GPU. `agent`: it is a ready node agent (None: it is none)."""

    node: str
    room: Room
    agent: bool | None = None


class Constraints(msgspec.Struct, frozen=True, gc=False):
    """Which nodes a pod accepts. Pods of one template share theirs."""

    selector: dict[str, str] | None = None
    affinity: kinds.NodeSelector | None = None
    tolerations: tuple[kinds.Toleration, ...] | None = None


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """A condition's state and words."""

    status: str
    reason: str = ""
    message: str = ""


class GpuPod(Record, frozen=True):
    """A pod that asks for GPUs.

    claim      name of its ResourceClaim, "" until Kubernetes has made it
    gates      names of its scheduling gates, ours included
    owner      what made it and makes it again, if anything does
    scheduled  what kube-scheduler says; placed: what migctl said last
    waiting    why its first waiting container does not run
    """

    node: str
    room: Room
    created: datetime | None
    deleting: datetime | None
    labels: dict[str, str]
    annotations: dict[str, str]
    owner: kinds.Owner | None
    claim: str
    gates: tuple[str, ...]
    constraints: Constraints
    priority: int | None
    priority_class: str
    phase: str
    reason: str
    message: str
    scheduled: Verdict | None
    placed: Verdict | None
    waiting: Verdict | None
    started: datetime | None
    exit_code: int | None
    image: str

    @property
    def gated(self) -> bool:
        return names.GATE in self.gates

    @property
    def finished(self) -> bool:
        return self.phase in TERMINAL


class ClaimRecord(Record, frozen=True):
    """A ResourceClaim of our class.

    pod        name of the pod it was made for; pod_uid: that pod's identity
    grant      what it is allocated, if it is; broken: why its allocation cannot be read
    reserved   kube-scheduler or a running pod counts on the allocation
    """

    pod: str
    pod_uid: str
    created: datetime | None
    deleting: datetime | None
    finalizers: tuple[str, ...]
    grant: Grant | None
    broken: str
    allocated: datetime | None
    reserved: bool


class NodeRecord(Record, frozen=True):
    """A machine as Kubernetes knows it."""

    labels: dict[str, str]
    ready: bool
    unschedulable: bool
    taints: tuple[kinds.Taint, ...]
    allocatable: Room


class BudgetRecord(Record, frozen=True):
    """A PodDisruptionBudget. `allowed`: evictions it permits now."""

    selector: kinds.LabelSelector | None
    allowed: int


class CustomRecord(Record, frozen=True):
    """A custom resource of ours, as it came."""

    raw: kinds.Custom


class BareRecord(Record, frozen=True):
    """An object whose metadata is all that matters."""

    metadata: kinds.Metadata


def pod(obj: kinds.Pod) -> GpuPod | Bystander:
    """The record of a pod."""
    meta, spec, status = obj.metadata, obj.spec, obj.status
    taken = (0, 0) if status.phase in TERMINAL else requested(spec)
    ours = next((c for c in spec.resource_claims or () if c.resource_claim_template_name == names.CLAIM), None)
    if ours is None:
        return Bystander(
            name=meta.name,
            namespace=intern(meta.namespace),
            uid=meta.uid,
            version=int(meta.resource_version),
            node=intern(spec.node_name),
            room=taken,
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
        room=taken,
        created=meta.creation_timestamp,
        deleting=meta.deletion_timestamp,
        labels=meta.labels or {},
        annotations={k: v for k, v in (meta.annotations or {}).items() if k in names.READ},
        owner=meta.controller,
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
    )


def claim(obj: kinds.ResourceClaim) -> ClaimRecord | None:
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
    return NodeRecord(
        name=obj.metadata.name,
        uid=obj.metadata.uid,
        version=int(obj.metadata.resource_version),
        labels=obj.metadata.labels or {},
        ready=any(c.type == "Ready" and c.status == "True" for c in obj.status.conditions or ()),
        unschedulable=obj.spec.unschedulable,
        taints=obj.spec.taints or (),
        allocatable=room(obj.status.allocatable),
    )


def budget(obj: kinds.Budget) -> BudgetRecord:
    meta = obj.metadata
    return BudgetRecord(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        version=int(meta.resource_version),
        selector=obj.spec.selector,
        allowed=obj.status.disruptions_allowed,
    )


def custom(obj: kinds.Custom) -> CustomRecord:
    meta = obj.metadata
    return CustomRecord(name=meta.name, uid=meta.uid, version=int(meta.resource_version), raw=obj)


def bare(obj: kinds.Bare) -> BareRecord:
    meta = obj.metadata
    return BareRecord(
        name=meta.name, namespace=meta.namespace, uid=meta.uid, version=int(meta.resource_version), metadata=meta
    )


def _ready(obj: kinds.Pod) -> bool:
    condition = obj.condition("Ready")
    return condition is not None and condition.status == "True" and obj.metadata.deletion_timestamp is None


def _required(affinity: kinds.Affinity | None) -> kinds.NodeSelector | None:
    return affinity.node_affinity.required if affinity and affinity.node_affinity else None


def _verdict(condition: kinds.Condition | None) -> Verdict | None:
    return Verdict(condition.status, condition.reason, condition.message or "") if condition else None


def _containers(status: kinds.PodStatus) -> tuple[Verdict | None, int | None]:
    """Why the first waiting container waits, and the worst exit code of those that ended."""
    states = [c.state for c in status.container_statuses or () if c.state is not None]
    waiting = next((s.waiting for s in states if s.waiting is not None), None)
    codes = [s.terminated.exit_code for s in states if s.terminated is not None]
    return (
        Verdict("False", waiting.reason, waiting.message) if waiting else None,
        max(codes, default=None),
    )
