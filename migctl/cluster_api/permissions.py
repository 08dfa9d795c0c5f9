"""What each verb on each kind is on Kubernetes: the one table, which docs/access.md shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from migctl.access.rights import Verb
from migctl.objects import Claim, Department, Event, GpuNode, NodePool, PlacementPlan, Project, Workload
from nodeagent.contract.wire import API_GROUP


@dataclass(frozen=True, slots=True)
class Permission:
    """A verb on a resource, as RBAC has them. group "": the core group."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""


Permissions = tuple[Permission, ...]

VERBS: Mapping[Verb, str] = MappingProxyType(
    {Verb.READ: "list", Verb.CREATE: "create", Verb.UPDATE: "patch", Verb.DELETE: "delete"}
)
OURS: Mapping[str, str] = MappingProxyType(
    {
        Project.PLURAL: "projects",
        Department.PLURAL: "departments",
        NodePool.PLURAL: "nodepools",
        GpuNode.PLURAL: "gpunodes",
        PlacementPlan.PLURAL: "placementplans",
    }
)
"""Custom resources, which belong to no namespace, by the plural name of the kind."""

MAKERS = (("batch", "jobs"), ("apps", "statefulsets"), ("apps", "deployments"))
"""What workloads are, but for bare pods."""

NODES = Permission("list", "nodes")
"""Kubernetes' own: cordons and labels."""

_PODS = Permission("list", "pods")


def _workloads(verb: str) -> Permissions:
    return tuple(Permission(verb, resource, group) for group, resource in MAKERS)


TABLE: Mapping[tuple[Verb, str], Permissions] = MappingProxyType(
    {
        **{
            (verb, plural): (Permission(name, resource, API_GROUP),)
            for plural, resource in OURS.items()
            for verb, name in VERBS.items()
        },
        (Verb.READ, Workload.PLURAL): (_PODS, *_workloads("list")),
        (Verb.CREATE, Workload.PLURAL): _workloads("create"),
        (Verb.UPDATE, Workload.PLURAL): _workloads("patch"),
        (Verb.DELETE, Workload.PLURAL): _workloads("delete"),
        (Verb.READ, Claim.PLURAL): (_PODS, Permission("list", "resourceclaims", "resource.k8s.io")),
        (Verb.READ, Event.PLURAL): (Permission("list", "events"),),
    }
)
"""All that is needed; what is not here, nobody may do through this API. Namespaced: what is in a project."""

NAMESPACED = frozenset((Workload.PLURAL, Claim.PLURAL, Event.PLURAL))
READ_IN_PROJECTS = tuple((Verb.READ, plural) for plural in (Workload.PLURAL, Claim.PLURAL, Event.PLURAL))
READ_EVERYWHERE = tuple((Verb.READ, plural) for plural in OURS)
