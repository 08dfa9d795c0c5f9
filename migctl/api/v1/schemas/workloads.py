"""Workloads in lists, their pods, events, history and figures."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from migctl.api.v1.schemas.schema import Schema
from migctl.api.v1.schemas.submissions import PhaseOut
from migctl.api.v1.schemas.workload_specs import GpuRequestType


class Cores(Schema):
    """So many of something."""

    request: float
    limit: float | None = None


class Amount(Schema):
    """So much memory."""

    request: str
    limit: str | None = None


class RequestedResources(Schema):
    """What is requested: GPUs, or memory of them."""

    gpu_request_type: GpuRequestType
    gpu: Cores | None = None
    gpu_memory: Amount | None = None
    mig_profile: str | None = None


class AllocatedResources(Schema):
    """What is held now, in GPUs of the quota currency and in memory."""

    gpu: float
    gpu_memory: str


class RequestedPods(Schema):
    """How many pods there are to be."""

    number: int
    parallelism: int
    completions: int | None = None


class ActionsSupport(Schema):
    """What may be asked of the workload now."""

    delete: bool
    suspend: bool


class WorkloadOut(Schema):
    """A workload with what it holds and why it is in its phase."""

    id: str
    name: str
    type: str
    priority: int
    priority_class_name: str
    preemptible: bool
    submitted_by: str
    cluster_id: str
    project_id: str
    project_name: str
    department_id: str
    department_name: str
    namespace: str
    created_at: datetime
    deleted_at: datetime | None = None
    completed_at: datetime | None = None
    started_at: datetime | None = None
    phase: PhaseOut
    phase_message: str = ""
    reason: str = ""
    running_pods: int
    requested_pods: RequestedPods
    workload_requested_resources: RequestedResources
    pods_requested_resources: RequestedResources
    allocated_resources: AllocatedResources
    requested_node_pools: list[str]
    current_node_pools: list[str]
    current_nodes: list[str]
    images: list[str]
    command: str
    environment_variables: dict[str, str]
    actions_support: ActionsSupport
    source: str = "Control-plane"


class WorkloadPage(Schema):
    """A page of the list. next: the offset of the next page, null on the last one."""

    workloads: list[WorkloadOut]
    next: int | None = None


class CountOut(Schema):
    """How many there are."""

    count: int


class ContainerOut(Schema):
    """A pod's program."""

    name: str
    image: str
    started_at: datetime | None = None


class PodOut(Schema):
    """A pod of a workload."""

    id: str
    name: str
    workload_id: str
    workload_name: str
    project_id: str
    project_name: str
    cluster_id: str
    node_name: str | None = None
    created_at: datetime
    completed_at: datetime | None = None
    containers: list[ContainerOut]
    priority_class_name: str
    requested_node_pools: list[str]
    current_node_pool: str | None = None
    requested_resources: RequestedResources
    allocated_resources: AllocatedResources
    pod_phase: str = Field(serialization_alias="k8sPhase")
    message: str = ""
    exit_code: int | None = None


class PodPage(Schema):
    """A page of pods. next: the offset of the next page, null on the last one."""

    pods: list[PodOut]
    next: int | None = None


class InvolvedObject(Schema):
    """What an event is about."""

    uid: str
    kind: str
    name: str
    namespace: str


class EventOut(Schema):
    """Something that happened. type: Normal or Warning."""

    id: str
    type: str
    reason: str
    message: str
    created_at: datetime
    cluster_id: str
    source: str = "migctl"
    count: int
    involved_object: InvolvedObject


class EventPage(Schema):
    """A page of events. next: the offset of the next page, null on the last one."""

    events: list[EventOut]
    next: int | None = None


class HistoryType(StrEnum):
    EVENT = "Event"
    PHASE_UPDATE = "PhaseUpdate"


class HistoryMeta(Schema):
    """When, and what kind of record."""

    creation_timestamp: datetime
    type: HistoryType


class PhaseUpdate(Schema):
    """A phase that began."""

    phase: PhaseOut
    phase_message: str


class HistorySpec(Schema):
    """One of the two."""

    event: EventOut | None = None
    phase_update: PhaseUpdate | None = None


class HistoryRecord(Schema):
    """What happened at one moment."""

    meta: HistoryMeta
    spec: HistorySpec


class HistoryPage(Schema):
    """A page of the history. next: the offset of the next page, null on the last one."""

    records: list[HistoryRecord]
    next: int | None = None


class MetricType(StrEnum):
    """Figures that are known of the present; other names of clients are answered without values."""

    GPU_ALLOCATION = "GPU_ALLOCATION"
    GPU_MEMORY_REQUEST_BYTES = "GPU_MEMORY_REQUEST_BYTES"
    POD_COUNT = "POD_COUNT"
    RUNNING_POD_COUNT = "RUNNING_POD_COUNT"


class Sample(Schema):
    """A figure at one moment."""

    value: str
    timestamp: datetime


class MeasurementOut(Schema):
    """The figures of one kind."""

    type: str
    values: list[Sample]


class MetricsOut(Schema):
    """Figures of a workload."""

    measurements: list[MeasurementOut]
