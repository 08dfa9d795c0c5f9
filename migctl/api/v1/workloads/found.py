"""The workload of an id, for a caller."""

from __future__ import annotations

from migctl.api.v1.service import CallersService
from migctl.api.v1.workloads.rows import rows_of
from migctl.backends.protocol import NotFound
from migctl.objects import Project, Workload, WorkloadType


async def workload_of(door: CallersService, uid: str, kind: WorkloadType | None = None) -> Workload:
    """The workload as it is stored. Raises NotFound, the same for one that the caller may not see."""
    row = (await rows_of(door.service)).of(uid)
    missing = NotFound(
        f"there is no {kind or 'workload'} with the id {uid[:64]!r}", hint="GET /api/v1/workloads lists them"
    )
    if row is None or not door.seen.sees_project(row.project):
        raise missing
    try:
        workload = await door.control.get(Workload, row.name, row.project)
    except NotFound:
        raise missing from None
    if workload.meta.uid != uid or (kind is not None and workload.spec.type is not kind):
        raise missing
    return workload


def project_name(door: CallersService, sent: str) -> str:
    """The name of the project with this id or name; what was sent, where the caller sees none."""
    if door.seen.get(Project, sent) is not None:
        return sent
    return next((one.meta.name for one in door.seen.all(Project) if one.meta.uid == sent), sent)
