"""The fields of submitted objects: Jobs, StatefulSets, Deployments and pods, templates included.

A Submitted* struct adds to client/pod_kinds.py what only a user's view shows: the controller, which decodes every
pod of the cluster, skips it (a pod with 25 variables is decoded more than twice as fast).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from migctl.backends.kubernetes.client import kinds, pod_kinds
from migctl.backends.kubernetes.client.kinds import Metadata, WireStruct
from migctl.backends.kubernetes.client.resources import Resource


class EnvironmentVariable(WireStruct, frozen=True):
    """One with valueFrom has no value here."""

    name: str
    value: str = ""


class SubmittedResources(pod_kinds.ResourceRequirements, frozen=True):
    """`resources` with limits."""

    limits: dict[str, Any] | None = None


class SubmittedContainer(pod_kinds.Container, frozen=True):
    """A container with what it runs."""

    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    working_dir: str = ""
    env: tuple[EnvironmentVariable, ...] | None = None
    resources: SubmittedResources | None = None


class SubmittedPodSpec(pod_kinds.PodSpec, frozen=True):
    """`spec` of a pod with what its containers run."""

    containers: tuple[SubmittedContainer, ...] | None = None
    init_containers: tuple[SubmittedContainer, ...] | None = None


class SubmittedPod(pod_kinds.Pod, frozen=True):
    """A Pod with what its containers run."""

    spec: SubmittedPodSpec = SubmittedPodSpec()


class PodTemplate(WireStruct, frozen=True):
    """`template` of a Job, StatefulSet or Deployment."""

    metadata: Metadata = Metadata()
    spec: SubmittedPodSpec = SubmittedPodSpec()


class JobSpec(WireStruct, frozen=True):
    """`spec` of a Job."""

    parallelism: int | None = None
    completions: int | None = None
    backoff_limit: int | None = None
    ttl_seconds_after_finished: int | None = None
    suspend: bool | None = None
    template: PodTemplate = PodTemplate()


class JobStatus(WireStruct, frozen=True):
    """`status` of a Job."""

    conditions: tuple[kinds.Condition, ...] | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    succeeded: int | None = None
    failed: int | None = None


class KubernetesJob(WireStruct, frozen=True):
    """A Job (batch/v1)."""

    metadata: Metadata
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class ReplicatedWorkloadSpec(WireStruct, frozen=True):
    """`spec` of a StatefulSet or a Deployment."""

    replicas: int | None = None
    template: PodTemplate = PodTemplate()


class ReplicatedWorkload(WireStruct, frozen=True):
    """A StatefulSet or a Deployment."""

    metadata: Metadata
    spec: ReplicatedWorkloadSpec = ReplicatedWorkloadSpec()


class UserInfo(WireStruct, frozen=True):
    """The user of a SelfSubjectReview."""

    username: str = ""
    groups: tuple[str, ...] = ()


class ReviewStatus(WireStruct, frozen=True):
    user_info: UserInfo = UserInfo()


class SelfSubjectReview(WireStruct, frozen=True):
    """The user that the API server has authenticated."""

    status: ReviewStatus = ReviewStatus()


PODS = Resource("v1", "pods", SubmittedPod, title="Pod")
JOBS = Resource("batch/v1", "jobs", KubernetesJob, title="Job")
STATEFUL_SETS = Resource("apps/v1", "statefulsets", ReplicatedWorkload, title="StatefulSet")
DEPLOYMENTS = Resource("apps/v1", "deployments", ReplicatedWorkload, title="Deployment")
REPLICA_SETS = Resource("apps/v1", "replicasets", kinds.PartialObjectMetadata, title="ReplicaSet")
SELF = Resource("authentication.k8s.io/v1", "selfsubjectreviews", SelfSubjectReview, False, title="SelfSubjectReview")
