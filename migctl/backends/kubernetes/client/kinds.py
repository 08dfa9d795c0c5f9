"""The few fields of Kubernetes objects that migctl reads, as msgspec structs.

Everything else is skipped while decoding, which is what makes it fast. Structs are frozen and not
tracked by the garbage collector: they hold no cycles.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """The wire rules of all parts."""


class Owner(Part, frozen=True):
    kind: str
    name: str
    uid: str = ""
    api_version: str = ""
    controller: bool = False


class Metadata(Part, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: tuple[str, ...] | None = None
    owner_references: tuple[Owner, ...] | None = None

    @property
    def controller(self) -> Owner | None:
        """The object that made this one and makes it again."""
        return next((owner for owner in self.owner_references or () if owner.controller), None)


class Condition(Part, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str | None = None
    last_transition_time: datetime | None = None


class Named(Part, frozen=True):
    name: str


class Resources(Part, frozen=True):
    requests: dict[str, Any] | None = None


class Container(Part, frozen=True):
    name: str = ""
    image: str = ""
    resources: Resources | None = None
    restart_policy: str | None = None


class PodClaim(Part, frozen=True):
    """An entry of spec.resourceClaims or status.resourceClaimStatuses."""

    name: str
    resource_claim_template_name: str | None = None
    resource_claim_name: str | None = None


class Toleration(Part, frozen=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class Taint(Part, frozen=True):
    key: str
    value: str = ""
    effect: str = ""


class Expression(Part, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] | None = None


class SelectorTerm(Part, frozen=True):
    match_expressions: tuple[Expression, ...] | None = None
    match_fields: tuple[Expression, ...] | None = None


class NodeSelector(Part, frozen=True):
    node_selector_terms: tuple[SelectorTerm, ...] = ()


class NodeAffinity(Part, frozen=True):
    required: NodeSelector | None = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=None)


class Affinity(Part, frozen=True):
    node_affinity: NodeAffinity | None = None


class PodSpec(Part, frozen=True):
    node_name: str = ""
    scheduling_gates: tuple[Named, ...] | None = None
    resource_claims: tuple[PodClaim, ...] | None = None
    node_selector: dict[str, str] | None = None
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] | None = None
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    overhead: dict[str, Any] | None = None
    priority: int | None = None
    priority_class_name: str = ""


class Waiting(Part, frozen=True):
    reason: str = ""
    message: str = ""


class Running(Part, frozen=True):
    started_at: datetime | None = None


class Terminated(Part, frozen=True):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(Part, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Part, frozen=True):
    name: str = ""
    state: ContainerState | None = None


class PodStatus(Part, frozen=True):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] | None = None
    resource_claim_statuses: tuple[PodClaim, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    start_time: datetime | None = None


class Pod(Part, frozen=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, kind: str) -> Condition | None:
        return next((c for c in self.status.conditions or () if c.type == kind), None)


class ExactRequest(Part, frozen=True):
    device_class_name: str = ""


class DeviceRequest(Part, frozen=True):
    exactly: ExactRequest | None = None


class DeviceWish(Part, frozen=True):
    requests: tuple[DeviceRequest, ...] | None = None


class ClaimWish(Part, frozen=True):
    devices: DeviceWish = DeviceWish()


class Consumer(Part, frozen=True):
    resource: str = ""
    name: str = ""
    uid: str = ""


class ClaimState(Part, frozen=True):
    allocation: dict[str, Any] | None = None
    reserved_for: tuple[Consumer, ...] | None = None


class ResourceClaim(Part, frozen=True):
    metadata: Metadata
    spec: ClaimWish = ClaimWish()
    status: ClaimState = ClaimState()

    @property
    def classes(self) -> set[str]:
        """The device classes it asks for."""
        return {r.exactly.device_class_name for r in self.spec.devices.requests or () if r.exactly is not None}


class NodePlan(Part, frozen=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] | None = None


class NodeState(Part, frozen=True):
    allocatable: dict[str, Any] | None = None
    conditions: tuple[Condition, ...] | None = None


class KubernetesNode(Part, frozen=True):
    metadata: Metadata
    spec: NodePlan = NodePlan()
    status: NodeState = NodeState()


class LabelSelector(Part, frozen=True):
    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Expression, ...] | None = None


class BudgetSpec(Part, frozen=True):
    selector: LabelSelector | None = None


class BudgetState(Part, frozen=True):
    disruptions_allowed: int = 0


class Budget(Part, frozen=True):
    """A PodDisruptionBudget."""

    metadata: Metadata
    spec: BudgetSpec = BudgetSpec()
    status: BudgetState = BudgetState()


class Bare(Part, frozen=True):
    """Any object of which only the metadata matters."""

    metadata: Metadata = Metadata()


class Custom(Part, frozen=True):
    """A custom resource of ours; spec and status are read by objects' own types."""

    metadata: Metadata
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")


class Involved(Part, frozen=True):
    """What an event is about."""

    kind: str = ""
    name: str = ""
    namespace: str = ""


class KubernetesEvent(Part, frozen=True):
    metadata: Metadata
    involved_object: Involved = Involved()
    reason: str = ""
    message: str = ""
    type: str = "Normal"
    count: int | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None


class LeaseSpec(Part, frozen=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    renew_time: datetime | None = None
    acquire_time: datetime | None = None
    lease_transitions: int | None = None


class Lease(Part, frozen=True):
    metadata: Metadata
    spec: LeaseSpec = LeaseSpec()
