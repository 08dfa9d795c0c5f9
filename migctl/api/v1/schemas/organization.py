"""Projects and departments: what they may use of each node pool, what they use, who is in them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from migctl.api.v1.schemas.schema import Schema
from migctl.api.v1.schemas.support import NotHere, SentBody, WithoutEffect
from migctl.api.v1.schemas.workload_specs import Text

MOST_POOLS = 1000
Amount = Annotated[float, Field(allow_inf_nan=False)]


class PoolName(Schema):
    """A node pool, by its id or its name."""

    id: Text = ""
    name: Text | None = None


class GpuQuota(Schema):
    """GPUs of a queue in a node pool; -1, or null for the limit: unlimited."""

    deserved: Amount | None = Field(default=None, description="GPUs of its own.")
    limit: Amount | None = Field(default=None, description="Never more than this.")
    over_quota_weight: Amount | None = Field(default=None, description="Its part of unused GPUs.")


class UncountedQuota(Schema):
    """CPU or memory, which no queue has a quota of."""

    deserved: Amount | None = None
    limit: Amount | None = None
    over_quota_weight: Amount | None = None
    units: Text | None = None


class PoolResources(Schema):
    """What a queue may use of a node pool; without one, or for `default`, of each that is not named."""

    node_pool: PoolName | None = None
    gpu: GpuQuota | None = None
    cpu: UncountedQuota | None = Field(default=None, description="Refused unless it asks for nothing.")
    memory: UncountedQuota | None = Field(default=None, description="Refused unless it asks for nothing.")
    priority: Text | None = Field(default=None, description="A number; higher ones get unused GPUs first.")


Resources = Annotated[list[PoolResources], Field(max_length=MOST_POOLS)]


class QueueSettings(SentBody):
    """What projects and departments are created with and changed to."""

    resources: Resources | None = None
    description: Annotated[None, NotHere("queues have no description")] = None
    scheduling_rules: Annotated[None, NotHere("time limits are not a queue's")] = None
    default_node_pools: Annotated[None, NotHere("a workload names its own node pools")] = None
    node_types: Annotated[None, NotHere("a workload names its own node pools")] = None


class DepartmentRequest(QueueSettings):
    """A department."""

    name: Text
    cluster_id: Text = ""
    overtime_data: Annotated[None, NotHere("quotas are the same at all hours")] = None


class ProjectRequest(QueueSettings):
    """A project."""

    name: Text
    cluster_id: Text = ""
    parent_id: Text | None = Field(default=None, description="Id or name of its department.")
    requested_namespace: Annotated[None, NotHere("its namespace follows its name")] = None
    enforce_runai_scheduler: Annotated[bool | None, WithoutEffect("migctl places everything")] = None


class DepartmentChange(QueueSettings):
    """What is to change of a department."""

    overtime_data: Annotated[None, NotHere("quotas are the same at all hours")] = None


class ProjectChange(QueueSettings):
    """What is to change of a project."""

    parent_id: Text | None = Field(default=None, description="Id or name of its department; null takes it out.")
    enforce_runai_scheduler: Annotated[bool | None, WithoutEffect("migctl places everything")] = None


class GpuFigure(Schema):
    """A number of GPUs in the quota's currency."""

    gpu: float


class QuotaStatus(Schema):
    """What a queue uses."""

    allocated: GpuFigure
    allocated_non_preemptible: GpuFigure
    requested: GpuFigure
    fair_share: GpuFigure = Field(description="What other queues cannot reclaim from it now.")


class PoolQuotaStatus(QuotaStatus):
    """What a queue uses of a node pool."""

    node_pool_name: str
    node_pool_id: str


class QueueStatus(Schema):
    """The present of a queue."""

    namespace: str = Field(
        description="Of a project: on a cluster, the namespace that it owns; of a department: empty."
    )
    phase: str = Field(description="Ready, or Deleting.")
    quota_status: QuotaStatus
    node_pool_quota_statuses: list[PoolQuotaStatus]


class TotalResources(Schema):
    """The quotas of all node pools together."""

    gpu_quota: float


class QueueOut(Schema):
    """What projects and departments have in common."""

    id: str
    name: str
    cluster_id: str
    created_at: datetime | None
    updated_at: datetime | None
    resources: list[PoolResources]
    total_resources: TotalResources
    status: QueueStatus


class ParentOut(Schema):
    """The department of a project."""

    id: str
    name: str
    type: str = "department"


class ProjectOut(QueueOut):
    """A project."""

    parent_id: str | None = None
    parent: ParentOut | None = None
    requested_namespace: str = ""
    min_runtime_seconds: float = Field(description="Its work is not preempted before.")


class ChildOut(Schema):
    """A project of a department."""

    id: str
    name: str


class DepartmentOut(QueueOut):
    """A department, with those of its projects that the caller may see."""

    children: list[ChildOut]


class ProjectPage(Schema):
    """Projects, a page at a time."""

    projects: list[ProjectOut]
    next: int | None = Field(default=None, description="The offset of the next page; null: this is the last one.")


class DepartmentPage(Schema):
    """Departments, a page at a time."""

    departments: list[DepartmentOut]
    next: int | None = Field(default=None, description="The offset of the next page; null: this is the last one.")


class MemberOut(Schema):
    """Somebody with a role that counts in a queue."""

    subject_id: str
    subject_type: str = Field(description="user, app or token.")
    role: str
    scope_type: str = Field(description="Where it was given: project, department or system.")


class MemberList(Schema):
    """Who is in a queue."""

    members: list[MemberOut]


class ReportAvailability(Schema):
    """Whether reports can be made."""

    is_available: bool = False


class ReportPage(Schema):
    """Reports: there are none."""

    reports: tuple[()] = ()
    next: None = None
