"""What is stored of each Kubernetes object: only the fields that a decision or a person's view needs.

A cluster has a hundred thousand pods. One that requests GPUs becomes a GpuPod, every other a NonGpuPod,
which only reserves resources of its node. `version` is the resourceVersion as a number.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from migctl.backends.kubernetes.client import kinds, pod_kinds
from migctl.backends.kubernetes.meaning import names
from migctl.backends.kubernetes.meaning.quantities import NodeResources
from solver.model.demand import Grant

TERMINAL = ("Succeeded", "Failed")


class ObjectRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What all records have."""

    name: str
    namespace: str = ""
    uid: str
    version: int


class NonGpuPod(ObjectRecord, frozen=True):
    """A pod that requests no GPU. `agent`: whether it is a ready node agent (None: it is none)."""

    node: str
    requests: NodeResources
    agent: bool | None = None


class Constraints(msgspec.Struct, frozen=True, gc=False):
    """Which nodes a pod accepts. Pods of one template share theirs."""

    selector: dict[str, str] | None = None
    affinity: kinds.NodeSelector | None = None
    tolerations: tuple[pod_kinds.Toleration, ...] | None = None


class ConditionState(msgspec.Struct, frozen=True, gc=False):
    """A condition's status, reason and message."""

    status: str
    reason: str = ""
    message: str = ""


class GpuPod(ObjectRecord, frozen=True):
    """A pod that requests GPUs.

    requests   CPU and memory that it reserves on its node
    claim      name of its ResourceClaim, "" until Kubernetes has made it
    gates      names of its scheduling gates, ours included
    owner      what made it and makes it again, if anything does
    scheduled  what kube-scheduler says; placed: the condition that migctl wrote
    waiting    why its first waiting container does not run
    grace_s    how long its containers may take to end, seconds
    """

    node: str
    requests: NodeResources
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
    scheduled: ConditionState | None
    placed: ConditionState | None
    waiting: ConditionState | None
    started: datetime | None
    exit_code: int | None
    image: str
    grace_s: int = 30

    @property
    def gated(self) -> bool:
        """Whether migctl's scheduling gate is closed."""
        return names.GATE in self.gates

    @property
    def finished(self) -> bool:
        """Whether its containers have ended."""
        return self.phase in TERMINAL


class ClaimRecord(ObjectRecord, frozen=True):
    """A ResourceClaim of our class.

    pod        name of the pod it was made for; pod_uid: that pod's identity
    grant      what it is allocated, if it is; broken: why its allocation cannot be read
    reserved   whether kube-scheduler or a running pod relies on the allocation
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


class NodeRecord(ObjectRecord, frozen=True):
    """A machine as Kubernetes knows it."""

    labels: dict[str, str]
    ready: bool
    unschedulable: bool
    taints: tuple[kinds.Taint, ...]
    allocatable: NodeResources


class BudgetRecord(ObjectRecord, frozen=True):
    """A PodDisruptionBudget. `allowed`: evictions it permits now."""

    selector: kinds.LabelSelector | None
    allowed: int


class CustomRecord(ObjectRecord, frozen=True):
    """A custom resource of ours, as it came."""

    raw: kinds.CustomResource


class MetadataRecord(ObjectRecord, frozen=True):
    """An object whose metadata is all that matters."""

    metadata: kinds.Metadata
