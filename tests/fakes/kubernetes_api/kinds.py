"""The kinds of objects that the fake server knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """`status`: it has a status subresource, so that main writes leave the status alone."""

    api: str
    plural: str
    kind: str
    namespaced: bool = True
    status: bool = True

    @property
    def group(self) -> str:
        return self.api.rpartition("/")[0]

    @property
    def root(self) -> str:
        return f"/apis/{self.api}" if "/" in self.api else f"/api/{self.api}"


KINDS = tuple(
    Kind(*row)
    for row in (
        ("v1", "pods", "Pod"),
        ("v1", "nodes", "Node", False),
        ("v1", "namespaces", "Namespace", False),
        ("v1", "events", "Event", True, False),
        ("v1", "configmaps", "ConfigMap", True, False),
        ("v1", "services", "Service"),
        ("v1", "secrets", "Secret", True, False),
        ("apps/v1", "statefulsets", "StatefulSet"),
        ("apps/v1", "deployments", "Deployment"),
        ("apps/v1", "replicasets", "ReplicaSet"),
        ("apps/v1", "daemonsets", "DaemonSet"),
        ("batch/v1", "cronjobs", "CronJob"),
        ("batch/v1", "jobs", "Job"),
        ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
        ("coordination.k8s.io/v1", "leases", "Lease", True, False),
        ("resource.k8s.io/v1", "resourceclaims", "ResourceClaim"),
        ("resource.k8s.io/v1", "resourceclaimtemplates", "ResourceClaimTemplate", True, False),
        ("resource.k8s.io/v1", "resourceslices", "ResourceSlice", False, False),
        ("resource.k8s.io/v1", "deviceclasses", "DeviceClass", False, False),
        ("authentication.k8s.io/v1", "tokenreviews", "TokenReview", False),
        ("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview", False),
        ("migctl.dev/v1alpha1", "projects", "Project", False),
        ("migctl.dev/v1alpha1", "departments", "Department", False),
        ("migctl.dev/v1alpha1", "nodepools", "NodePool", False),
        ("migctl.dev/v1alpha1", "gpunodes", "GpuNode", False),
        ("migctl.dev/v1alpha1", "placementplans", "PlacementPlan", False),
    )
)
BY_PLURAL = {kind.plural: kind for kind in KINDS}
