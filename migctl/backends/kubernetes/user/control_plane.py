"""The control plane of a user on a cluster: every kind of object, each read from the API server when called."""

from __future__ import annotations

from typing import Any

from migctl.backends.kubernetes.client.resources import Resource
from migctl.backends.kubernetes.control_plane import KubernetesControlPlane
from migctl.backends.kubernetes.stores import custom_store
from migctl.backends.kubernetes.stores.event_recorder import Subject
from migctl.backends.kubernetes.stores.event_store import EventStore
from migctl.backends.kubernetes.user.claims import UserClaims
from migctl.backends.kubernetes.user.nodes import UserNodes
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.kubernetes.user.workload_store import WorkloadStore
from migctl.objects import Claim, Department, Event, GpuNode, NodePool, PlacementPlan, Project, Workload


def user_control_plane(api: PermittedApi, workloads: WorkloadStore) -> KubernetesControlPlane:
    """One store per kind; `workloads` is that of workloads."""
    return KubernetesControlPlane(
        {
            Project: custom_store.projects(api, _ignore),
            Department: custom_store.departments(api, _ignore),
            NodePool: custom_store.node_pools(api, _ignore),
            GpuNode: UserNodes(api),
            PlacementPlan: custom_store.plans(api, _ignore),
            Workload: workloads,
            Claim: UserClaims(api),
            Event: EventStore(api, None, Subject),
        }
    )


def _ignore(resource: Resource[Any], answer: bytes) -> None:
    """There is no cache to update."""
