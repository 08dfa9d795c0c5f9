"""`project describe` and `department describe`: what a queue may use, what it uses, who is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from migctl import quantities
from migctl.backends.protocol import ControlPlane
from migctl.cli import events
from migctl.cli.output import formats, tables
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import OutputOptions
from migctl.cli.output.tables import Column
from migctl.cli.queues import columns
from migctl.cli.queues.columns import PoolRow, gpus_text, ratio_text, weight_text
from migctl.cli.session import Session
from migctl.cli.views.workloads import WorkloadView, jobs
from migctl.objects import API_VERSION, Department, Event, PoolQuota, PoolUsage, Project

LATEST = 10


@dataclass(frozen=True)
class Described:
    """A queue with what is in it: workloads and their latest events, or projects."""

    queue: Project | Department
    jobs: tuple[WorkloadView, ...] = ()
    events: tuple[Event, ...] = ()
    projects: tuple[Project, ...] = ()


async def of_project(control: ControlPlane, project: Project) -> Described:
    """The project with its workloads and latest events."""
    name = project.meta.name
    inside, every = await asyncio.gather(jobs(control, name), control.list(Event, name))
    return Described(project, tuple(inside), tuple(sorted(every.items, key=events.when)[-LATEST:]))


async def of_department(control: ControlPlane, department: Department) -> Described:
    """The department with its projects."""
    every = (await control.list(Project)).items
    members = (project for project in every if project.spec.department == department.meta.name)
    return Described(department, projects=tuple(sorted(members, key=lambda project: project.meta.name)))


def write(described: Described, session: Session, view: OutputOptions) -> None:
    """Write a queue's description as -o says."""
    if view.format is Format.NAME:
        print(formats.name(described.queue))
    elif not view.format.human_readable:
        formats.write(_document(described), view.format)
    else:
        _write(described, session)


def _document(described: Described) -> dict[str, Any]:
    """The description for machines."""
    kind = type(described.queue).__name__
    body = {"apiVersion": API_VERSION, "kind": f"{kind}Description", kind.lower(): formats.document(described.queue)}
    if isinstance(described.queue, Department):
        return {**body, "projects": [formats.document(project) for project in described.projects]}
    return {
        **body,
        "workloads": [formats.document(job.workload) for job in described.jobs],
        "events": [formats.document(event) for event in described.events],
    }


def _write(described: Described, session: Session) -> None:
    queue = described.queue
    tables.facts(*_facts(queue))
    if queue.status.pools or queue.spec.pools:
        tables.section("Node pools", _pools(queue), columns.POOL_COLUMNS)
    if isinstance(queue, Department):
        named = [Column[Project]("PROJECT", lambda project: project.meta.name), *columns.figures(Project)]
        shown = tables.shown(named, wide=False)
        tables.section("Projects", described.projects, shown)
        return
    tables.section("Workloads", described.jobs, _JOB_COLUMNS)
    event_columns = [column for column in events.table(session).columns if column.header != "PROJECT"]
    tables.section("Latest events", described.events, event_columns)


def _facts(queue: Project | Department) -> Iterator[tuple[str, str]]:
    spec, status = queue.spec, queue.status
    ratio = ratio_text(status.allocated, spec.quota)
    yield "Name", queue.meta.name
    if isinstance(queue, Project):
        yield "Department", queue.spec.department or ""
    yield "Quota", f"{gpus_text(spec.quota)} GPUs" if spec.quota is not None else "none of its own"
    yield "Limit", "" if spec.limit < 0 else f"{gpus_text(spec.limit)} GPUs"
    yield "Over-quota weight", weight_text(spec.over_quota_weight)
    yield "Priority", str(spec.priority) if spec.priority else ""
    if isinstance(queue, Project):
        runtime = queue.spec.min_runtime_s
        yield "Minimum runtime", f"{runtime:g} s before its work may be preempted" if runtime else ""
    yield "Allocated", f"{gpus_text(status.allocated)} GPUs" + (f" ({ratio} of its quota)" if ratio else "")
    yield "Non-preemptible", f"{gpus_text(status.non_preemptible)} GPUs"
    yield "Requested", f"{gpus_text(status.requested)} GPUs"
    yield "Fair share", f"{gpus_text(status.fair_share)} GPUs: what others cannot reclaim now"


def _pools(queue: Project | Department) -> Iterator[PoolRow]:
    """Every pool with its own quota or with figures; the whole queue's quota holds where none is named."""
    spec = queue.spec
    usual = PoolQuota(
        quota=-1.0 if spec.quota is None else spec.quota,
        limit=spec.limit,
        over_quota_weight=spec.over_quota_weight,
        priority=spec.priority,
    )
    for name in sorted({*spec.pools, *queue.status.pools}):
        yield name, spec.pools.get(name, usual), queue.status.pools.get(name, PoolUsage())


_JOB_COLUMNS: Sequence[Column[WorkloadView]] = (
    Column("NAME", lambda job: job.name),
    Column("TYPE", lambda job: job.workload.spec.type.value, drop=2),
    Column("STATUS", lambda job: job.phase.value),
    Column("PREEMPTIBLE", lambda job: "yes" if job.workload.spec.preemptible else "no", drop=1),
    Column("GPUs", lambda job: quantities.portion_text(job.allocated)),
    Column("MESSAGE", lambda job: job.workload.status.message, long=True),
)
