"""What a workload is to be, by type, in the names that clients know."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from migctl.api.v1.schemas.schema import Schema
from migctl.api.v1.schemas.support import NotHere, WithoutEffect

MAX_ITEMS = 1000
MAX_TEXT = 32_768
GPUS_ONLY = "only GPUs are requested and shared through this API"

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Words = Annotated[
    str | list[Text] | None,
    Field(description="One string, split as a shell does, or a list of arguments.", max_length=MAX_TEXT),
]


class GpuRequestType(StrEnum):
    PORTION = "portion"
    MEMORY = "memory"
    MIG_PROFILE = "migProfile"


class Preemptibility(StrEnum):
    PREEMPTIBLE = "preemptible"
    NON_PREEMPTIBLE = "non-preemptible"


class Compute(Schema):
    """The GPUs of each pod: a portion, memory or a MIG profile of each device, or whole devices."""

    gpu_devices_request: int | None = Field(default=None, description="GPUs, all of one node; 1 where left out.")
    gpu_request_type: GpuRequestType | None = Field(
        default=None, description="Which of the requests is meant; it may be left out where only one is given."
    )
    gpu_portion_request: float | None = Field(default=None, description="0 < x < 1 of each GPU; 1: whole GPUs.")
    gpu_portion_limit: Annotated[float | None, WithoutEffect("it gets what it requests, and no more")] = None
    gpu_memory_request: Text | None = Field(default=None, description="Of each GPU.", examples=["5G", "512Mi"])
    gpu_memory_limit: Annotated[Text | None, WithoutEffect("it gets what it requests, and no more")] = None
    mig_profile: Text | None = Field(default=None, description="As NVIDIA prints it.", examples=["2g.10gb"])
    cpu_core_request: Annotated[float | None, WithoutEffect(GPUS_ONLY)] = Field(default=None, ge=0)
    cpu_core_limit: Annotated[float | None, WithoutEffect(GPUS_ONLY)] = Field(default=None, ge=0)
    cpu_memory_request: Annotated[Text | None, WithoutEffect(GPUS_ONLY)] = None
    cpu_memory_limit: Annotated[Text | None, WithoutEffect(GPUS_ONLY)] = None
    large_shm_request: Annotated[bool | None, WithoutEffect("the size of /dev/shm is not set through this API")] = None
    extended_resources: Annotated[None, NotHere("only GPUs are shared")] = None


class SubmittedVariable(Schema):
    """A variable of the program."""

    name: Text
    value: Text = ""
    description: Annotated[Text | None, WithoutEffect("it is for people")] = None
    secret: Annotated[None, NotHere("secrets are not read through this API; give its value")] = None
    config_map: Annotated[None, NotHere("config maps are not read through this API; give its value")] = None
    pod_field_ref: Annotated[None, NotHere("fields of pods are not read through this API; give its value")] = None
    user_credential: Annotated[None, NotHere("no credentials are kept here; give its value")] = None
    exclude: Annotated[None, NotHere("there are no defaults to leave out")] = None


class NamedValue(Schema):
    """A label or an annotation."""

    name: Text
    value: Text = ""
    exclude: Annotated[None, NotHere("there are no defaults to leave out")] = None


class CommonSpec(Schema):
    """What workloads of every type have."""

    image: Text | None = Field(default=None, description="Needed; without a cluster it is recorded only.")
    command: Words = None
    args: Words = None
    environment_variables: list[SubmittedVariable] | None = Field(default=None, max_length=MAX_ITEMS)
    working_dir: Text | None = Field(default=None, description="Where the program starts; an absolute path.")
    labels: list[NamedValue] | None = Field(default=None, max_length=MAX_ITEMS)
    annotations: Annotated[list[NamedValue] | None, WithoutEffect("nothing here reads annotations")] = Field(
        default=None, max_length=MAX_ITEMS
    )
    compute: Compute | None = None
    priority_class: Text | None = Field(default=None, description="The one of its type; others are refused.")
    preemptibility: Preemptibility | None = None
    node_pools: list[Text] | None = Field(default=None, max_length=MAX_ITEMS, description="The first that has room.")
    node_type: Text | None = Field(default=None, description="The GPU model that it must be.", examples=["h100-80gb"])
    category: Annotated[Text | None, WithoutEffect("there are no categories here")] = None
    image_pull_policy: Annotated[Text | None, WithoutEffect("how images are pulled is not set through this API")] = None
    image_pull_secrets: Annotated[None, NotHere("how images are pulled is not set through this API")] = None
    create_home_dir: Annotated[None, NotHere("the home directory is the one that the program finds")] = None
    exposed_urls: Annotated[None, NotHere("this API makes no addresses for programs")] = None
    ports: Annotated[None, NotHere("this API makes no services for programs")] = None
    related_urls: Annotated[None, NotHere("they would be shown nowhere")] = None
    storage: Annotated[None, NotHere("this API mounts nothing")] = None
    security: Annotated[None, NotHere("this API does not choose the user of a program")] = None
    probes: Annotated[None, NotHere("programs are not probed; one that ends is seen")] = None
    node_affinity_required: Annotated[None, NotHere("nodePools and nodeType say where it may run")] = None
    pod_affinity: Annotated[None, NotHere("nodePools and nodeType say where it may run")] = None
    tolerations: Annotated[None, NotHere("nodePools and nodeType say where it may run")] = None
    stdin: Annotated[None, NotHere("a program has no terminal")] = None
    tty: Annotated[None, NotHere("a program has no terminal")] = None
    restart_policy: Annotated[None, NotHere("backoffLimit says how often it is tried again")] = None
    terminate_after_preemption: Annotated[None, NotHere("what is preempted waits and runs again")] = None
    termination_grace_period_seconds: Annotated[None, NotHere("the time to end is the same for all")] = None


class EndingSpec(CommonSpec):
    """What workloads have that end."""

    backoff_limit: int | None = Field(default=None, description="Failed pods before it is Failed; 6 where left out.")
    auto_deletion_time_after_completion_seconds: int | None = Field(
        default=None, description="When it is deleted, once it has ended; never where left out."
    )


class TrainingSpec(EndingSpec):
    """A training: it runs to its end."""

    parallelism: int | None = Field(default=None, description="Pods that run side by side.")
    completions: int | None = Field(default=None, description="Pods that must succeed, each with its POD_INDEX.")


class WorkspaceSpec(CommonSpec):
    """A workspace: interactive, it runs until it is suspended or deleted."""

    backoff_limit: Annotated[int | None, WithoutEffect("a workspace is started again whenever it ends")] = None
    auto_deletion_time_after_completion_seconds: Annotated[
        int | None, WithoutEffect("a workspace runs until it is deleted")
    ] = None


class DistributedSpec(EndingSpec):
    """A distributed training: a master and its workers, which start together."""

    num_workers: int | None = Field(default=None, ge=1, description="Workers beside the master.")
    distributed_framework: Annotated[Text | None, Field(examples=["PyTorch"])] = None
    slots_per_worker: int | None = Field(default=None, ge=1, le=1, description="A pod is one process.")
    min_replicas: Annotated[None, NotHere("all start together, or none")] = None
    max_replicas: Annotated[None, NotHere("all start together, or none")] = None
    clean_pod_policy: Annotated[None, NotHere("pods are removed with their workload")] = None
    mpi_launcher_creation_policy: Annotated[None, NotHere("there is no MPI launcher here")] = None
    ssh_auth_mount_path: Annotated[Text | None, WithoutEffect("there is no MPI launcher here")] = None


class Autoscaling(Schema):
    """How many replicas serve: a fixed number."""

    min_replicas: int | None = None
    max_replicas: int | None = None
    initial_replicas: Annotated[None, NotHere("the number of replicas is fixed")] = None
    activation_replicas: Annotated[None, NotHere("the number of replicas is fixed")] = None
    concurrency_hard_limit: Annotated[None, NotHere("requests do not go through migctl")] = None
    scale_to_zero_retention_seconds: Annotated[None, NotHere("the number of replicas is fixed")] = None
    scale_down_delay_seconds: Annotated[None, NotHere("the number of replicas is fixed")] = None
    initialization_timeout_seconds: Annotated[None, NotHere("a replica has all the time it needs")] = None
    metric: Annotated[None, NotHere("the number of replicas is fixed")] = None
    metric_threshold: Annotated[None, NotHere("the number of replicas is fixed")] = None
    metric_threshold_percentage: Annotated[None, NotHere("the number of replicas is fixed")] = None


class ServingPort(Schema):
    """The port that an inference answers on."""

    container: int | None = Field(default=None, ge=1, le=65535)
    protocol: Text | None = None
    authorization_type: Annotated[None, NotHere("requests do not go through migctl")] = None
    authorized_users: Annotated[None, NotHere("requests do not go through migctl")] = None
    authorized_groups: Annotated[None, NotHere("requests do not go through migctl")] = None
    cluster_local_access_only: Annotated[None, NotHere("requests do not go through migctl")] = None


class InferenceSpec(CommonSpec):
    """An inference: it serves, inside the quota, and is never preempted."""

    autoscaling: Autoscaling | None = None
    serving_port: Annotated[ServingPort | None, WithoutEffect("this API makes no services for programs")] = None
    serving_configuration: Annotated[None, NotHere("a replica has all the time it needs")] = None


class AnyWorkloadSpec(InferenceSpec, TrainingSpec, DistributedSpec):
    """What a workload of any type may have: as it is answered."""
