"""Kinds of objects in the API: their paths, and decoders of objects, lists and watch events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from migctl.backends.kubernetes.client import claim_kinds, kinds, pod_kinds
from nodeagent.contract.wire import API_VERSION

K = TypeVar("K")


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """`metadata` of a list; `continue_` is "" on its last page."""

    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class WatchEvent(Protocol):
    """A line of a watch. A BOOKMARK's object has a version only."""

    @property
    def type(self) -> str: ...

    @property
    def object(self) -> Any: ...


class Page(Protocol[K]):
    """A part of a list, and what the list is of."""

    @property
    def metadata(self) -> ListMeta: ...

    @property
    def items(self) -> list[K]: ...


@dataclass(frozen=True)
class Resource(Generic[K]):
    """A kind of object. `api` is its group and version, `kind` the struct that one decodes to."""

    api: str
    plural: str
    kind: type[K]
    namespaced: bool = True
    title: str = ""
    """The kind's name on the wire, "Pod"."""

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of an object, of a namespace's objects, or of all."""
        root = f"/api/{self.api}" if "/" not in self.api else f"/apis/{self.api}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(name, safe="")] if name else []
        parts += [subresource] if subresource else []
        return "/".join(parts)

    @cached_property
    def one(self) -> msgspec.json.Decoder[K]:
        """Of one object."""
        return msgspec.json.Decoder(self.kind)

    @cached_property
    def page(self) -> msgspec.json.Decoder[Any]:
        """Of a list: its metadata and items."""
        fields = [("metadata", ListMeta, ListMeta()), ("items", list[self.kind], msgspec.field(default_factory=list))]  # type: ignore[name-defined]
        return msgspec.json.Decoder(msgspec.defstruct("Page", fields, frozen=True, gc=False))

    @cached_property
    def event(self) -> msgspec.json.Decoder[Any]:
        """Of a line of a watch: its type and object."""
        fields = [("type", str), ("object", self.kind)]
        return msgspec.json.Decoder(msgspec.defstruct("Event", fields, frozen=True, gc=False))


PODS = Resource("v1", "pods", pod_kinds.Pod, title="Pod")
NODES = Resource("v1", "nodes", kinds.KubernetesNode, namespaced=False, title="Node")
NAMESPACES = Resource("v1", "namespaces", kinds.PartialObjectMetadata, namespaced=False, title="Namespace")
CLAIMS = Resource("resource.k8s.io/v1", "resourceclaims", claim_kinds.ResourceClaim, title="ResourceClaim")
TEMPLATES = Resource(
    "resource.k8s.io/v1", "resourceclaimtemplates", kinds.PartialObjectMetadata, title="ResourceClaimTemplate"
)
BUDGETS = Resource("policy/v1", "poddisruptionbudgets", kinds.Budget, title="PodDisruptionBudget")
PROJECTS = Resource(API_VERSION, "projects", kinds.CustomResource, namespaced=False, title="Project")
DEPARTMENTS = Resource(API_VERSION, "departments", kinds.CustomResource, namespaced=False, title="Department")
GPU_NODES = Resource(API_VERSION, "gpunodes", kinds.CustomResource, namespaced=False, title="GpuNode")
NODE_POOLS = Resource(API_VERSION, "nodepools", kinds.CustomResource, namespaced=False, title="NodePool")
PLANS = Resource(API_VERSION, "placementplans", kinds.CustomResource, namespaced=False, title="PlacementPlan")
EVENTS = Resource("v1", "events", kinds.KubernetesEvent, title="Event")
LEASES = Resource("coordination.k8s.io/v1", "leases", kinds.Lease, title="Lease")
CONFIG_MAPS = Resource("v1", "configmaps", kinds.PartialObjectMetadata, title="ConfigMap")
