"""Objects of Kubernetes that go with a workload, and that one machine has nothing of: they are left out with a note."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SERVICE = "the command listens on this machine itself: no Service is made"
FILES = "nothing is mounted or set from it: the command sees this machine's files"
RIGHTS = "it runs as a process of whoever runs migctl up"

WHY: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("", "Namespace"): "a project takes its place: migctl project create NAME --quota N",
        ("", "Service"): SERVICE,
        ("networking.k8s.io", "Ingress"): SERVICE,
        ("networking.k8s.io", "NetworkPolicy"): "nothing is between this machine's processes",
        ("", "ConfigMap"): FILES,
        ("", "Secret"): FILES,
        ("", "PersistentVolumeClaim"): FILES,
        ("", "PersistentVolume"): FILES,
        ("storage.k8s.io", "StorageClass"): FILES,
        ("", "ServiceAccount"): RIGHTS,
        ("rbac.authorization.k8s.io", "Role"): RIGHTS,
        ("rbac.authorization.k8s.io", "RoleBinding"): RIGHTS,
        ("rbac.authorization.k8s.io", "ClusterRole"): RIGHTS,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"): RIGHTS,
        ("policy", "PodDisruptionBudget"): "annotation migctl.dev/movable says whether a workload may be moved",
        ("autoscaling", "HorizontalPodAutoscaler"): "the number of replicas is the one that is written",
        ("", "ResourceQuota"): "a project has a quota: migctl project update NAME --quota N",
        ("", "LimitRange"): "a process is not kept to any resources",
        ("scheduling.k8s.io", "PriorityClass"): "the priority follows from the type of a workload",
        ("resource.k8s.io", "DeviceClass"): "this machine has one class, gpu.migctl.dev",
        ("resource.k8s.io", "ResourceClaimTemplate"): "it is read where a pod names it",
    }
)


def why_left_out(version: str, kind: str) -> str | None:
    """Why an object of a kind is left out, whatever its version; None where it is not known."""
    group = version.rpartition("/")[0]
    return WHY.get((group, kind))
