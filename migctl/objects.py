"""The objects a control plane stores: what users and controllers read and write.

They travel as JSON with camelCase keys and RFC 3339 times, under apiVersion migctl.dev/v1alpha1.
Every object is immutable; a change is a patch through the control plane.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import msgspec

from migctl.plan_objects import PlacementPlan as PlacementPlan
from migctl.plan_objects import PlanMove as PlanMove
from migctl.plan_objects import PlanOmissions as PlanOmissions
from migctl.plan_objects import PlanOutcome as PlanOutcome
from migctl.plan_objects import PlanPlace as PlanPlace
from migctl.plan_objects import PlanShare as PlanShare
from migctl.plan_objects import PlanSpec as PlanSpec
from migctl.plan_objects import PlanStatus as PlanStatus
from migctl.plan_objects import PlanStep as PlanStep
from migctl.plan_objects import StepState as StepState
from migctl.record import Meta as Meta
from migctl.record import Record as Record
from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.wire import API_VERSION as API_VERSION
from solver.model import priorities
from solver.model.cluster import DEFAULT_POOL
from solver.model.demand import ContainerDemands, Demand, Fraction, Grant, Memory, MigProfile, OneDemand, WholeGpus
from solver.model.snapshot import UNLIMITED, MemoryRule, Spreading


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


class QueueQuota(Record, frozen=True):
    """What a queue may use, in GPUs; -1: unlimited.

    quota              guaranteed; None: no quota of its own
    limit              never exceeded
    over_quota_weight  its part of the surplus, relative to other queues
    priority           higher takes the surplus first
    """

    quota: float | None = None
    limit: float = UNLIMITED
    over_quota_weight: float = 2.0
    priority: int = 0


class PoolQuota(QueueQuota, frozen=True):
    """What a queue may use of one node pool."""

    quota: float = 0.0


class ProjectSpec(QueueQuota, frozen=True):
    """What a project may use of each node pool; `pools` replaces the quota of the pools it names.

    min_runtime_s  seconds that its preemptible work runs before it may be preempted
    """

    quota: float = 0.0
    department: str | None = None
    min_runtime_s: float = 0.0
    pools: dict[str, PoolQuota] = {}


class PoolUsage(Record, frozen=True):
    """What a queue uses of one node pool, in GPUs of the quota currency.

    requested   pending claims included
    fair_share  what other queues cannot reclaim from it now
    """

    allocated: float = 0.0
    non_preemptible: float = 0.0
    requested: float = 0.0
    fair_share: float = 0.0


class ProjectStatus(PoolUsage, frozen=True):
    """What a queue uses of all node pools together; `pools`: of each, where there are several."""

    pools: dict[str, PoolUsage] = {}


class Project(Record, frozen=True, tag_field="kind", tag="Project"):
    """A queue of workloads with its own quota."""

    PLURAL: ClassVar[str] = "projects"
    meta: Meta
    spec: ProjectSpec = ProjectSpec()
    status: ProjectStatus = ProjectStatus()


class DepartmentSpec(QueueQuota, frozen=True):
    """What all projects of the department may use together; quota None: they share as if they had no department."""

    pools: dict[str, PoolQuota] = {}


class Department(Record, frozen=True, tag_field="kind", tag="Department"):
    """A queue of projects."""

    PLURAL: ClassVar[str] = "departments"
    meta: Meta
    spec: DepartmentSpec = DepartmentSpec()
    status: ProjectStatus = ProjectStatus()


class NodePoolSpec(Record, frozen=True):
    """How a pool's nodes are used (without an object by these defaults), and the label of its nodes, if it has one.

    placement    how work is spread over them
    memory_rule  which instance serves a request for memory or a fraction
    """

    placement: Spreading = Spreading.BINPACK
    memory_rule: MemoryRule = MemoryRule.PROPORTIONAL
    label_key: str = ""
    label_value: str = ""


class NodePool(Record, frozen=True, tag_field="kind", tag="NodePool"):
    """The nodes that have its label, and those without any pool's that name it."""

    PLURAL: ClassVar[str] = "nodepools"
    meta: Meta
    spec: NodePoolSpec = NodePoolSpec()


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
    directory      where the command starts, on the host, in the embedded mode
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


class NodeSpec(Record, frozen=True):
    """What an admin decides about a node.

    dynamic_mig      MIG mode of its GPUs; None: as it was found
    gpu_dynamic_mig  by UUID, of GPUs that have a mode of their own and do not follow the node's
    """

    pool: str = DEFAULT_POOL
    cordoned: bool = False
    dynamic_mig: bool | None = None
    gpu_dynamic_mig: dict[str, bool] = {}


class DynamicMig(Record, frozen=True):
    """The result of a desired MIG mode.

    outcome  done, pending (waits for a GPU reset) or refused (nothing was changed)
    message  why it is pending or refused, and what to do
    """

    wanted: bool
    outcome: str
    message: str = ""


class NodeStatus(Record, frozen=True):
    """The agent's newest report and when it was made; what became of the desired MIG modes, by UUID of GPUs' own."""

    report: NodeReport | None = None
    reported: datetime | None = None
    ready: bool = False
    message: str = ""
    dynamic_mig: DynamicMig | None = None
    gpu_dynamic_mig: dict[str, DynamicMig] = {}


class GpuNode(Record, frozen=True, tag_field="kind", tag="GpuNode"):
    """A node with GPUs."""

    PLURAL: ClassVar[str] = "nodes"
    meta: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class EventSpec(Record, frozen=True):
    """What happened.

    about  "Kind/name" of the object; uid: its uid, "" where it is not known
    count  how often; last: when for the last time, None: once
    """

    about: str
    reason: str
    message: str
    warning: bool = False
    uid: str = ""
    count: int = 1
    last: datetime | None = None


class Event(Record, frozen=True, tag_field="kind", tag="Event"):
    """Something that happened to an object."""

    PLURAL: ClassVar[str] = "events"
    meta: Meta
    spec: EventSpec


Object = Project | Department | NodePool | Workload | Claim | GpuNode | PlacementPlan | Event
T = TypeVar("T", Project, Department, NodePool, Workload, Claim, GpuNode, PlacementPlan, Event)

KINDS: Mapping[str, type[Object]] = MappingProxyType(
    {kind.PLURAL: kind for kind in (Project, Department, NodePool, Workload, Claim, GpuNode, PlacementPlan, Event)}
)


def singular(kind: type[Object]) -> str:
    """What messages and `-o name` call one object of the kind: "node"."""
    return kind.PLURAL.removesuffix("s")


def _plain(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"cannot store a {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def encode(value: Any) -> bytes:
    """JSON of an object, or of anything made of objects."""
    return _encoder.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """The object in a JSON text. Raises msgspec.ValidationError with the path of what is wrong."""
    return msgspec.json.decode(data, type=kind)


def to_builtins(value: Any) -> Any:
    """The JSON as dicts, lists and strings."""
    return msgspec.to_builtins(value, enc_hook=_plain)
