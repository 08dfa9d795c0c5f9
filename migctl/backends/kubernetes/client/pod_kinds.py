"""The fields of a pod that placing it needs.

The controller decodes every pod of the cluster: what only a person's view shows (commands, variables, limits) is
read by user/kinds.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from migctl.backends.kubernetes.client.kinds import Condition, Metadata, NodeSelector, WireStruct


class SchedulingGate(WireStruct, frozen=True):
    """An entry of spec.schedulingGates."""

    name: str


class ResourceRequirements(WireStruct, frozen=True):
    """`resources` of a container; quantities are strings or numbers."""

    requests: dict[str, Any] | None = None


class Container(WireStruct, frozen=True):
    """A container or init container. restart_policy "Always" makes an init container a sidecar."""

    name: str = ""
    image: str = ""
    resources: ResourceRequirements | None = None
    restart_policy: str | None = None


class PodClaim(WireStruct, frozen=True):
    """An entry of spec.resourceClaims or status.resourceClaimStatuses."""

    name: str
    resource_claim_template_name: str | None = None
    resource_claim_name: str | None = None


class Toleration(WireStruct, frozen=True):
    """An entry of spec.tolerations."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class NodeAffinity(WireStruct, frozen=True):
    """The required part of a node affinity."""

    required: NodeSelector | None = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=None)


class Affinity(WireStruct, frozen=True):
    node_affinity: NodeAffinity | None = None


class PodSpec(WireStruct, frozen=True):
    """`spec` of a pod."""

    node_name: str = ""
    scheduling_gates: tuple[SchedulingGate, ...] | None = None
    resource_claims: tuple[PodClaim, ...] | None = None
    node_selector: dict[str, str] | None = None
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] | None = None
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    overhead: dict[str, Any] | None = None
    priority: int | None = None
    priority_class_name: str = ""
    termination_grace_period_seconds: int | None = None


class Waiting(WireStruct, frozen=True):
    """The state of a container that waits."""

    reason: str = ""
    message: str = ""


class Running(WireStruct, frozen=True):
    """The state of a container that runs."""

    started_at: datetime | None = None


class Terminated(WireStruct, frozen=True):
    """The state of a container that has ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(WireStruct, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(WireStruct, frozen=True):
    name: str = ""
    state: ContainerState | None = None


class PodStatus(WireStruct, frozen=True):
    """`status` of a pod."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] | None = None
    resource_claim_statuses: tuple[PodClaim, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    start_time: datetime | None = None


class Pod(WireStruct, frozen=True):
    """A Pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, kind: str) -> Condition | None:
        """The condition of a type, None where there is none."""
        return next((c for c in self.status.conditions or () if c.type == kind), None)
