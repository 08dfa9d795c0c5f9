"""Workloads, and the claims of their pods."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from migctl.objects.record import Meta, Record
from solver.model import priorities
from solver.model.demand import ContainerDemands, Demand, Fraction, Grant, Memory, MigProfile, OneDemand, WholeGpus


class GpuRequest(Record, frozen=True):
    """One of whole GPUs, a fraction, memory or a MIG profile, on `devices` GPUs of one node.

    fraction    0 < x < 1; memory_mib in MiB; profile as NVIDIA prints it. All None: whole GPUs
    model       the GPU model that it must be, by id, without regard to case; None: any
    containers  what each of several containers of a pod requests, all on one node; `devices` is their sum then
    container   in such a list: whose it is
    """

    fraction: float | None = None
    memory_mib: int | None = None
    profile: str | None = None
    devices: int = 1
    model: str | None = None
    containers: tuple[GpuRequest, ...] = ()
    container: str = ""

    @property
    def is_part(self) -> bool:
        """Whether it is for parts of GPUs."""
        return self.fraction is not None or self.memory_mib is not None or self.profile is not None

    def to_demand(self) -> Demand:
        """The demand of a pod: each of its containers may have one of its own."""
        if self.containers:
            return ContainerDemands(tuple(part.to_one_demand() for part in self.containers))
        return self.to_one_demand()

    def to_one_demand(self) -> OneDemand:
        """The demand of one container."""
        if self.fraction is not None:
            return Fraction(self.fraction, self.devices, self.model)
        if self.memory_mib is not None:
            return Memory(self.memory_mib, self.devices, self.model)
        if self.profile is not None:
            return MigProfile(self.profile, self.devices, self.model)
        return WholeGpus(self.devices, self.model)


class WorkloadType(StrEnum):
    TRAINING = "training"
    WORKSPACE = "workspace"
    INFERENCE = "inference"
    DISTRIBUTED = "distributed"


class Phase(StrEnum):
    """The phase of a workload and of a claim."""

    PENDING = "Pending"
    INITIALIZING = "Initializing"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    FAILED = "Failed"
    PREEMPTED = "Preempted"
    TERMINATING = "Terminating"
    UNKNOWN = "Unknown"

    @property
    def finished(self) -> bool:
        """Whether it ended: Completed or Failed."""
        return self in (Phase.COMPLETED, Phase.FAILED)


class GangSpec(Record, frozen=True):
    """Pods that start together: at least `size` of them, or none.

    domain    node label whose value all of them must share (None: anywhere)
    required  False: they share it if that is possible
    """

    size: int
    domain: str | None = None
    required: bool = True


class WorkloadSpec(Record, frozen=True):
    """What was submitted. An empty command runs the built-in quickstart.

    priority       training 50, interactive-preemptible 75, interactive 100, inference 125
    movable        whether it may be stopped to start again elsewhere; False leaves it preemptible
    parallelism    pods that run side by side; completions: pods that must succeed
                   (None: the workload runs until it is deleted or ends by itself)
    backoff_limit  failed pods before the workload is Failed
    directory      where the command starts: on the host in the embedded mode, in its container on a cluster
    entrypoint     the command replaces the image's own entry point, on a cluster
    gang           the pods that start together (None: each starts on its own)
    """

    type: WorkloadType
    gpu_request: GpuRequest
    image: str = ""
    command: tuple[str, ...] = ()
    entrypoint: bool = False
    environment: dict[str, str] = {}
    user: str = ""
    priority: int = priorities.TRAINING
    preemptible: bool = True
    movable: bool = True
    parallelism: int = 1
    completions: int | None = None
    backoff_limit: int = 6
    ttl_after_finish_s: float | None = None
    suspended: bool = False
    directory: str = ""
    pools: tuple[str, ...] = ()
    gang: GangSpec | None = None


class WorkloadStatus(Record, frozen=True):
    """The workload's phase and its reason; counts are of pods (claims)."""

    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    pending: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    started: datetime | None = None
    finished: datetime | None = None


class Workload(Record, frozen=True, tag_field="kind", tag="Workload"):
    """A workload: its pods' claims are made from its spec."""

    PLURAL: ClassVar[str] = "workloads"
    meta: Meta
    spec: WorkloadSpec
    status: WorkloadStatus = WorkloadStatus()


class ClaimSpec(Record, frozen=True):
    """One pod's request for GPU shares; `index`: the pod's number in its workload.

    submitted  when its workload was created: counts as its age in the queue, also after a restart of the pod
    """

    workload: str
    workload_uid: str
    gpu_request: GpuRequest
    index: int = 0
    attempt: int = 0
    priority: int = priorities.TRAINING
    preemptible: bool = True
    movable: bool = True
    pools: tuple[str, ...] = ()
    gang: GangSpec | None = None
    submitted: datetime | None = None

    @classmethod
    def of(cls, workload: Workload, index: int, attempt: int = 0) -> ClaimSpec:
        """What a pod of the workload requests."""
        spec = workload.spec
        return cls(
            workload=workload.meta.name,
            workload_uid=workload.meta.uid,
            gpu_request=spec.gpu_request,
            index=index,
            attempt=attempt,
            priority=spec.priority,
            preemptible=spec.preemptible,
            movable=spec.movable,
            pools=spec.pools,
            gang=spec.gang,
            submitted=workload.meta.created,
        )


class ClaimStatus(Record, frozen=True):
    """What a claim holds and how it runs. `allocation` alone decides what it holds.

    nomination      shares that evictions free for this claim; of a claim that is stopped to be moved:
                    the shares that its successor gets
    failures        allocations that could not be prepared
    retry_at        earliest time of its next allocation
    reason, message why it waits or how it ended
    rounded         what was allocated beyond the request
    pid             leader of its process group, in the embedded mode
    evicted         why it was evicted ("": it was not)
    """

    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    allocation: Grant | None = None
    allocated: datetime | None = None
    nomination: Grant | None = None
    rounded: str = ""
    devices: tuple[str, ...] = ()
    pid: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    evicted: str = ""
    failures: int = 0
    retry_at: datetime | None = None


class Claim(Record, frozen=True, tag_field="kind", tag="Claim"):
    """One pod's claim on GPU shares."""

    PLURAL: ClassVar[str] = "claims"
    meta: Meta
    spec: ClaimSpec
    status: ClaimStatus = ClaimStatus()
