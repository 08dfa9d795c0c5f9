"""`list jobs` and `workload list`: the tables of workloads, one for each grammar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import typer

from migctl import quantities
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.grammar.selectors import selector
from migctl.cli.output import watching
from migctl.cli.output.listings import OutputOptions, TableKind
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import TableSource
from migctl.cli.session import Session
from migctl.cli.views.workloads import V1_TYPES, WorkloadView, gpus_cell, jobs
from migctl.objects import Claim, Phase, Workload

STYLES = {
    Phase.RUNNING: "green",
    Phase.PENDING: "yellow",
    Phase.INITIALIZING: "cyan",
    Phase.FAILED: "red",
    Phase.PREEMPTED: "magenta",
}


def phase_style(job: WorkloadView) -> str:
    """The colour of a workload's phase."""
    return STYLES.get(job.phase, "")


def v1(now: Callable[[], datetime], everywhere: bool) -> TableKind[WorkloadView]:
    """The verb-first grammar's table. everywhere: the rows may be of several projects."""
    return TableKind(
        "Workload",
        (
            Column("NAME", lambda job: job.name),
            Column("STATUS", lambda job: job.phase.value, style=phase_style),
            age_column(_created, now, drop=2),
            Column("NODE", lambda job: job.nodes, drop=3),
            Column("IMAGE", lambda job: job.workload.spec.image, drop=7),
            Column("TYPE", lambda job: V1_TYPES[job.workload.spec.type], drop=4),
            Column("PROJECT", lambda job: job.project, drop=1 if everywhere else 6),
            Column("USER", lambda job: job.workload.spec.user, drop=5),
            Column("GPUs Allocated (Requested)", gpus_cell, key=lambda job: job.allocated, brief="GPUs (Req.)"),
            Column("PODs Running (Pending)", _pods, key=lambda job: job.workload.status.running, brief="PODs (Pend.)"),
            Column("SERVICE URL(S)", lambda job: "", brief="URL(S)", drop=8),
            Column("REASON", lambda job: job.reason, wide=True, long=True),
        ),
        lambda job: job.workload,
        _figures,
    )


def v2(now: Callable[[], datetime], everywhere: bool) -> TableKind[WorkloadView]:
    """The noun-first grammar's table. everywhere: the rows may be of several projects."""
    return TableKind(
        "Workload",
        (
            Column("WORKLOAD", lambda job: job.name),
            Column("TYPE", lambda job: job.workload.spec.type.capitalize(), drop=3),
            Column("STATUS", lambda job: job.phase.value, style=phase_style),
            Column("PROJECT", lambda job: job.project, drop=1 if everywhere else 5),
            Column("RUNNING/REQ. PODS", _running, key=lambda job: job.workload.status.running, brief="PODS"),
            Column("GPU ALLOC.", lambda job: quantities.portion_text(job.allocated), key=lambda job: job.allocated),
            age_column(_created, now, wide=True, drop=2),
            Column("NODE", lambda job: job.nodes, wide=True, drop=4),
            Column("REASON", lambda job: job.reason, wide=True, long=True),
        ),
        lambda job: job.workload,
        _figures,
    )


def _figures(job: WorkloadView) -> dict[str, Any]:
    """What a workload holds, for machines."""
    return {
        "phase": job.phase.value,
        "allocated": round(job.allocated, 3),
        "nodes": job.nodes.split(",") if job.nodes else [],
        "memoryMib": sum(share.memory_mib for share in job.shares),
    }


def _created(job: WorkloadView) -> datetime | None:
    return job.workload.meta.created


def _pods(job: WorkloadView) -> str:
    return f"{job.workload.status.running} ({job.workload.status.pending})"


def _running(job: WorkloadView) -> str:
    return f"{job.workload.status.running}/{job.workload.spec.parallelism}"


def write(
    session: Session,
    table: TableKind[WorkloadView],
    view: OutputOptions,
    project: str | None,
    all_projects: bool,
    labels: str | None,
    watch: bool,
    mine: bool,
) -> None:
    """Write the workloads of one project, or of all. mine: of the user alone."""
    matches = selector(labels)

    async def source(control: Control) -> TableSource[WorkloadView]:
        me = await _me(session, control) if mine else None

        def wanted(workload: Workload) -> bool:
            own = me is None or workload.spec.user == me
            return own and matches(workload.meta.labels) and session.noun in (None, workload.spec.type)

        chosen = None if all_projects else await session.choose_project(control, project)
        title = f"Showing jobs for project {chosen}" if chosen else ""
        what = f"{session.noun}s" if session.noun else "workloads"
        empty = f"no {what}" + (" of yours" if mine else "") + (f" in project {chosen}" if chosen else "")
        empty += "; migctl list shows all types" if session.noun else ""
        return TableSource(table, view, lambda: jobs(control, chosen, wanted), title, empty)

    watching.show(session, (Workload, Claim), source, watch)


async def _me(session: Session, control: Control) -> str:
    """The user as workloads name him: on a cluster by a label."""
    user = (await control.identity()).user
    if not session.target.cluster:
        return user
    from migctl.backends.kubernetes.meaning.names import user_label

    return user_label(user)


@grouped
def list_workloads(
    context: typer.Context,
    *,
    project: options.Project = None,
    all_projects: options.AllProjects = False,
    listed: ListOptions,
    labels: options.Selector = None,
    watch: options.Watch = False,
    mine: options.Mine = False,
) -> None:
    """List workloads and what they hold."""
    session = sessions.of(context)
    shown = listed.view(session)
    write(session, v2(session.system.now, all_projects), shown, project, all_projects, labels, watch, mine)
