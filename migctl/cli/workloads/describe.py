"""`describe`: a workload, its pods with what they were given and why, and what happened to it."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import typer

from migctl import quantities
from migctl.backends import workload_status
from migctl.backends.protocol import ControlPlane
from migctl.cli import events
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view, write_each
from migctl.cli.output.tables import Column
from migctl.cli.session import Session
from migctl.cli.views.workloads import WorkloadView, find_jobs, request_text, workload_names
from migctl.explanation.leaving import waiting_for_nodes
from migctl.gpu_map import fleet
from migctl.gpu_map.fleet import Fleet, Held, share_text
from migctl.objects import API_VERSION, Claim, Event, Meta
from solver.model.demand import DeviceShare


@dataclass(frozen=True)
class Description:
    """All there is to say about a workload."""

    job: WorkloadView
    events: tuple[Event, ...]
    fleet: Fleet


def describe(
    context: typer.Context,
    names: options.Workloads,
    project: options.Project = None,
    output: options.Output = None,
) -> None:
    """Show everything about workloads.

    What was asked for, its pods and the shares they were given, and what happened to it.
    """
    session = sessions.of(context)
    shown = view(session, output)
    wanted = workload_names(names)

    async def read(control: Control) -> list[Description]:
        chosen = await session.choose_project(control, project)
        found = await find_jobs(control, chosen, wanted, session.noun)
        return [await describe_job(control, job) for job in found]

    descriptions = session.run(read, across=False)
    write_each(
        descriptions,
        shown.format,
        name=lambda description: formats.name(description.job.workload),
        text=lambda description: _write(description, session),
        document=document,
    )


async def describe_job(control: ControlPlane, job: WorkloadView) -> Description:
    """The workload with its events, oldest first, and the fleet that its shares are on."""
    every, seen = await asyncio.gather(control.list(Event, job.project), fleet.read(control))
    about = {f"Workload/{job.name}": job.workload.meta}
    about |= {f"Claim/{pod.meta.name}": pod.meta for pod in job.pods}
    chosen = sorted((e for e in every.items if _is_about(e, about.get(e.spec.about))), key=events.when)
    return Description(job, tuple(chosen), seen)


def _is_about(event: Event, meta: Meta | None) -> bool:
    """Whether it is about this object, and not about an earlier one of its name."""
    if meta is None:
        return False
    if event.spec.uid:
        return event.spec.uid == meta.uid
    happened = events.moment(event)
    return happened is None or meta.created is None or happened >= meta.created


def document(description: Description) -> dict[str, Any]:
    """The description for machines."""
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkloadDescription",
        "workload": formats.document(description.job.workload),
        "pods": [formats.document(pod) for pod in description.job.pods],
        "events": [formats.document(event) for event in description.events],
    }


def _write(description: Description, session: Session) -> None:
    tables.facts(*_facts(description.job, session))
    job, target = description.job, session.target
    leaving = waiting_for_nodes(job.workload, job.pods, description.fleet.nodes, target.cluster, session.system.now)
    if leaving:
        tables.paragraphs("It is told to stop and cannot:", leaving)
    pods = [row for pod in description.job.pods for row in _rows(pod)]
    none = "none any more" if description.job.phase.finished else "none yet"
    tables.section("Pods", pods, _pod_columns(pods, description.fleet), none)
    columns = [column for column in events.table(session).columns if column.header != "PROJECT"]
    tables.section("Events", description.events, columns)


def _facts(job: WorkloadView, session: Session) -> Iterator[tuple[str, str]]:
    spec, status = job.workload.spec, job.workload.status
    preemption = "preemptible" if spec.preemptible else "non-preemptible"
    preemption += "" if spec.movable else ", never moved"
    yield "Name", job.name
    yield "Project", job.project
    yield "Type", f"{spec.type} ({preemption}, priority {spec.priority})"
    yield "Status", job.phase.value + (f" ({status.reason})" if status.reason else "")
    yield "Message", status.message
    yield "User", spec.user
    yield "Image", spec.image
    yield (
        "Command",
        shlex.join(spec.command) or ("the image's own" if session.target.cluster else "the built-in quickstart"),
    )
    yield "Directory", spec.directory
    yield "Environment", " ".join(f"{name}={value}" for name, value in spec.environment.items())
    yield "Node pools", ", ".join(spec.pools)
    yield "Created", _moment(job, session)
    yield "Requested", request_text(spec.gpu_request)
    yield "Allocated", f"{quantities.portion_text(job.allocated)} GPUs"
    yield "Parallelism", str(spec.parallelism) if spec.parallelism > 1 else ""
    yield "Completions", f"{status.succeeded} of {spec.completions}" if spec.completions else ""
    yield "Failed pods", f"{status.failed} (at most {spec.backoff_limit})" if status.failed else ""


def _moment(job: WorkloadView, session: Session) -> str:
    created = job.workload.meta.created
    return f"{created:%Y-%m-%d %H:%M:%S %Z} ({tables.age_of(created, session.system.now)} ago)" if created else ""


class PodShare(NamedTuple):
    """A share that a pod has, and the container it is for where several have their own."""

    pod: Claim
    share: DeviceShare | None
    container: str = ""


def _rows(pod: Claim) -> list[PodShare]:
    devices = pod.status.allocation.devices if pod.status.allocation else ()
    parts = pod.spec.gpu_request.containers
    owners = [part.container for part in parts for _ in range(part.devices)]
    if len(owners) != len(devices):
        owners = [""] * len(devices)
    return [PodShare(pod, *row) for row in zip(devices, owners, strict=True)] or [PodShare(pod, None)]


def _pod_columns(rows: Sequence[PodShare], seen: Fleet) -> list[Column[PodShare]]:
    own = [Column[PodShare]("CONTAINER", lambda row: row.container)] if any(row.container for row in rows) else []
    return [
        Column("POD", lambda row: row.pod.meta.name),
        *own,
        Column("STATUS", lambda row: row.pod.status.phase.value),
        Column("GPU", lambda row: seen.gpu_name(row.share.gpu) if row.share else "-"),
        Column("SHARE", lambda row: share_text(Held(row.pod, row.share), seen) if row.share else "-"),
        Column("GPUs", lambda row: quantities.gpus_text(row.share.portion) if row.share else "-", drop=2),
        Column("MEMORY", lambda row: quantities.memory_text(row.share.memory_mib) if row.share else "-", drop=1),
        Column("GIVEN", lambda row: row.pod.status.rounded, long=True),
        Column("MESSAGE", lambda row: workload_status.explanation(row.pod.status), long=True),
    ]
