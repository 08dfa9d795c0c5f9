"""The fields of Kubernetes objects that migctl reads, as msgspec structs; pods and claims have modules of their own.

Everything else is skipped while decoding, which is what makes it fast. Structs are frozen and not
tracked by the garbage collector: they hold no cycles.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class WireStruct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """The wire rules of all parts."""


class Owner(WireStruct, frozen=True):
    """An entry of metadata.ownerReferences."""

    kind: str
    name: str
    uid: str = ""
    api_version: str = ""
    controller: bool = False


class Metadata(WireStruct, frozen=True):
    """`metadata`. Times are RFC 3339 on the wire."""

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


class Condition(WireStruct, frozen=True):
    """An entry of status.conditions."""

    type: str
    status: str
    reason: str = ""
    message: str | None = None
    last_transition_time: datetime | None = None


class Taint(WireStruct, frozen=True):
    """An entry of a Node's spec.taints."""

    key: str
    value: str = ""
    effect: str = ""


class Expression(WireStruct, frozen=True):
    """A requirement of a label or node selector."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class SelectorTerm(WireStruct, frozen=True):
    """An entry of nodeSelectorTerms: all its expressions must hold."""

    match_expressions: tuple[Expression, ...] | None = None
    match_fields: tuple[Expression, ...] | None = None


class NodeSelector(WireStruct, frozen=True):
    """A node selector: one of its terms must hold."""

    node_selector_terms: tuple[SelectorTerm, ...] = ()


class KubernetesNodeSpec(WireStruct, frozen=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] | None = None


class KubernetesNodeStatus(WireStruct, frozen=True):
    allocatable: dict[str, Any] | None = None
    conditions: tuple[Condition, ...] | None = None


class KubernetesNode(WireStruct, frozen=True):
    """A Node."""

    metadata: Metadata
    spec: KubernetesNodeSpec = KubernetesNodeSpec()
    status: KubernetesNodeStatus = KubernetesNodeStatus()


class LabelSelector(WireStruct, frozen=True):
    """A label selector: all its labels and expressions must hold."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Expression, ...] | None = None


class BudgetSpec(WireStruct, frozen=True):
    """`spec` of a PodDisruptionBudget."""

    selector: LabelSelector | None = None


class BudgetStatus(WireStruct, frozen=True):
    """`status` of a PodDisruptionBudget."""

    disruptions_allowed: int = 0


class Budget(WireStruct, frozen=True):
    """A PodDisruptionBudget."""

    metadata: Metadata
    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()


class PartialObjectMetadata(WireStruct, frozen=True):
    """Any object of which only the metadata matters."""

    metadata: Metadata = Metadata()


class CustomResource(WireStruct, frozen=True):
    """A custom resource of ours; spec and status are read by objects' own types."""

    metadata: Metadata
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")


class ObjectReference(WireStruct, frozen=True):
    """What an event is about."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class KubernetesEvent(WireStruct, frozen=True):
    """An Event (v1)."""

    metadata: Metadata
    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = "Normal"
    count: int | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None


class LeaseSpec(WireStruct, frozen=True):
    """`spec` of a Lease. lease_duration_seconds is in seconds."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    renew_time: datetime | None = None
    acquire_time: datetime | None = None
    lease_transitions: int | None = None


class Lease(WireStruct, frozen=True):
    """A Lease (coordination.k8s.io/v1)."""

    metadata: Metadata
    spec: LeaseSpec = LeaseSpec()


class ServedResource(WireStruct, frozen=True):
    """A kind of object that the API server has, "jobs" of kind "Job"."""

    name: str
    kind: str = ""
    namespaced: bool = False


class ServedResources(WireStruct, frozen=True):
    """The kinds of one group and version."""

    resources: tuple[ServedResource, ...] = ()
