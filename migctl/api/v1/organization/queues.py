"""Projects and departments: how they are found by id or name, shown, and filtered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from migctl import node_pools
from migctl.api.v1.errors import refusal
from migctl.api.v1.filters import FilterFields
from migctl.api.v1.organization.quotas import resources_of, total
from migctl.api.v1.schemas.organization import (
    ChildOut,
    DepartmentOut,
    GpuFigure,
    ParentOut,
    PoolQuotaStatus,
    ProjectOut,
    QueueStatus,
    QuotaStatus,
    TotalResources,
)
from migctl.api.v1.service import CallersService
from migctl.backends.protocol import NotFound
from migctl.objects import Department, GpuNode, NodePool, PoolUsage, Project, singular
from solver.model.cluster import DEFAULT_POOL

Queue = TypeVar("Queue", Project, Department)
Either = Project | Department

QUEUES: FilterFields[Any] = FilterFields(
    uid=lambda queue: queue.meta.uid,
    text=lambda queue: f"{queue.meta.name} {queue.meta.uid} {_parent(queue)}".casefold(),
    texts={
        "name": lambda queue: queue.meta.name.casefold(),
        "id": lambda queue: queue.meta.uid.casefold(),
        "phase": lambda queue: phase_of(queue).casefold(),
        "parentName": lambda queue: _parent(queue).casefold(),
    },
    numbers={
        "totalGpuQuota": lambda queue: queue.spec.quota or 0.0,
        "gpuAllocated": lambda queue: queue.status.allocated,
    },
    times={"createdAt": lambda queue: queue.meta.created},
)
"""What projects and departments can be filtered and sorted by."""


def pools_of(door: CallersService) -> dict[str, str]:
    """The ids of all node pools, by name; one that was never made has its name for an id."""
    made = {pool.meta.name: pool.meta.uid for pool in door.seen.all(NodePool)}
    named = node_pools.names(door.seen.all(GpuNode), ())
    return {DEFAULT_POOL: DEFAULT_POOL} | {name: name for name in named} | made


async def queue_of(door: CallersService, kind: type[Queue], key: str) -> Queue:
    """The queue with an id or a name, as it is stored. Raises NotFound, the same for one that the caller cannot see."""
    found = next((one for one in door.seen.all(kind) if one.meta.uid == key), None) or door.seen.get(kind, key)
    name = singular(kind)
    missing = NotFound(f"there is no {name} {key[:64]!r}", hint=f"GET /api/v1/org-unit/{name}s lists them")
    if found is None:
        raise missing
    try:
        return await door.control.get(kind, found.meta.name)
    except NotFound:
        raise missing from None


def check_cluster(door: CallersService, sent: str) -> None:
    """Raises Invalid where another cluster is meant than the one there is."""
    if sent and sent not in (door.service.cluster.uid, door.service.cluster.name):
        raise refusal("clusterId", f"there is no cluster {sent[:64]!r}", "GET /api/v1/clusters")


def department_name(door: CallersService, sent: str | None) -> str | None:
    """The name of the department with an id or name; None for none. Raises Invalid."""
    if not sent:
        return None
    for one in door.seen.all(Department):
        if sent in (one.meta.uid, one.meta.name):
            return one.meta.name
    raise refusal("parentId", f"there is no department {sent[:64]!r}", "GET /api/v1/org-unit/departments")


def phase_of(queue: Either) -> str:
    """Ready, or Deleting."""
    return "Ready" if queue.meta.deleting is None else "Deleting"


def project_out(door: CallersService, project: Project) -> ProjectOut:
    """A project as it is shown."""
    name = project.spec.department
    department = door.seen.get(Department, name) if name else None
    parent = None if department is None else ParentOut(id=department.meta.uid, name=department.meta.name)
    return ProjectOut(
        **_out(door, project),
        parent_id=None if parent is None else parent.id,
        parent=parent,
        requested_namespace=project.meta.name,
        min_runtime_seconds=project.spec.min_runtime_s,
    )


def department_out(door: CallersService, department: Department) -> DepartmentOut:
    """A department as it is shown, with those of its projects that the caller may see."""
    inside = (one for one in door.seen.all(Project) if one.spec.department == department.meta.name)
    children = [ChildOut(id=one.meta.uid, name=one.meta.name) for one in inside]
    return DepartmentOut(**_out(door, department), children=sorted(children, key=lambda child: child.name))


def _out(door: CallersService, queue: Either) -> dict[str, Any]:
    """The fields that both have."""
    pools = pools_of(door)
    return {
        "id": queue.meta.uid,
        "name": queue.meta.name,
        "cluster_id": door.service.cluster.uid,
        "created_at": queue.meta.created,
        "updated_at": queue.meta.created,
        "resources": resources_of(queue, pools),
        "total_resources": TotalResources(gpu_quota=total(queue, pools)),
        "status": QueueStatus(
            namespace=queue.meta.name if isinstance(queue, Project) else "",
            phase=phase_of(queue),
            quota_status=QuotaStatus(**_usage(queue.status)),
            node_pool_quota_statuses=list(_by_pool(queue, pools)),
        ),
    }


def _by_pool(queue: Either, pools: Mapping[str, str]) -> Iterable[PoolQuotaStatus]:
    """Where there is one pool only, all is used of that one."""
    used = queue.status.pools or ({next(iter(pools)): queue.status} if len(pools) == 1 else {})
    for name in sorted(pools):
        figures = used.get(name, PoolUsage())
        yield PoolQuotaStatus(**_usage(figures), node_pool_name=name, node_pool_id=pools[name])


def _usage(used: PoolUsage) -> dict[str, GpuFigure]:
    return {
        "allocated": GpuFigure(gpu=used.allocated),
        "allocated_non_preemptible": GpuFigure(gpu=used.non_preemptible),
        "requested": GpuFigure(gpu=used.requested),
        "fair_share": GpuFigure(gpu=used.fair_share),
    }


def _parent(queue: Either) -> str:
    return (queue.spec.department or "") if isinstance(queue, Project) else ""
