"""What migctl reads of the objects that people submit: Jobs, StatefulSets, Deployments and pods, templates included."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from migctl.backends.kubernetes.client import kinds
from migctl.backends.kubernetes.client.kinds import Metadata, Part
from migctl.backends.kubernetes.client.resources import Resource


class Variable(Part, frozen=True):
    """A variable whose value comes from elsewhere has none here."""

    name: str
    value: str = ""


class Resources(kinds.Resources, frozen=True):
    limits: dict[str, Any] | None = None


class Container(kinds.Container, frozen=True):
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    env: tuple[Variable, ...] | None = None
    resources: Resources | None = None


class PodSpec(kinds.PodSpec, frozen=True):
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None


class Pod(kinds.Pod, frozen=True):
    spec: PodSpec = PodSpec()


class Template(Part, frozen=True):
    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()


class JobSpec(Part, frozen=True):
    parallelism: int | None = None
    completions: int | None = None
    backoff_limit: int | None = None
    ttl_seconds_after_finished: int | None = None
    suspend: bool | None = None
    template: Template = Template()


class JobStatus(Part, frozen=True):
    conditions: tuple[kinds.Condition, ...] | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    succeeded: int | None = None
    failed: int | None = None


class Job(Part, frozen=True):
    metadata: Metadata
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class ReplicatedSpec(Part, frozen=True):
    replicas: int | None = None
    template: Template = Template()


class Replicated(Part, frozen=True):
    """A StatefulSet or a Deployment."""

    metadata: Metadata
    spec: ReplicatedSpec = ReplicatedSpec()


class Discovered(Part, frozen=True):
    name: str
    kind: str = ""
    namespaced: bool = False


class Discovery(Part, frozen=True):
    """The kinds of one group and version."""

    resources: tuple[Discovered, ...] = ()


class UserInfo(Part, frozen=True):
    username: str = ""
    groups: tuple[str, ...] = ()


class ReviewStatus(Part, frozen=True):
    user_info: UserInfo = UserInfo()


class SelfSubjectReview(Part, frozen=True):
    """Who the API server takes us for."""

    status: ReviewStatus = ReviewStatus()


PODS = Resource("v1", "pods", Pod, title="Pod")
JOBS = Resource("batch/v1", "jobs", Job, title="Job")
STATEFUL_SETS = Resource("apps/v1", "statefulsets", Replicated, title="StatefulSet")
DEPLOYMENTS = Resource("apps/v1", "deployments", Replicated, title="Deployment")
REPLICA_SETS = Resource("apps/v1", "replicasets", kinds.Bare, title="ReplicaSet")
SELF = Resource("authentication.k8s.io/v1", "selfsubjectreviews", SelfSubjectReview, False, title="SelfSubjectReview")
