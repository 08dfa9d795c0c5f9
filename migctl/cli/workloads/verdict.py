"""`submit --verdict`: what would become of the workload if it were sent now, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import typer

from migctl.cli.failures import ExitCode
from migctl.cli.output import formats, tables
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import OutputOptions
from migctl.cli.output.tables import Column
from migctl.cli.views.workloads import request_text
from migctl.objects import (
    Prospect,
    VerdictBlocker,
    VerdictEviction,
    VerdictPlace,
    VerdictQueue,
    VerdictShare,
    Workload,
    WorkloadVerdict,
)
from solver.model.cluster import Backing

Placed = tuple[VerdictPlace, VerdictShare]
LEADS = {
    Prospect.STARTS: "would start now",
    Prospect.MAKES_ROOM: "would start once others have made room",
    Prospect.PARTLY: "would start in part",
    Prospect.WAITS: "would wait",
}
HARDWARE = ("destroy", "create")
"""The actions of steps on GPUs."""


def show(wanted: Workload, verdict: WorkloadVerdict, output: OutputOptions) -> None:
    """Write the verdict. Ends with the exit code for what does not start, unless every pod has its place."""
    if output.format is Format.NAME:
        print(f"workload/{verdict.meta.name}")
    elif output.format.human_readable:
        _write(wanted, verdict)
    else:
        formats.write(formats.document(verdict), output.format)
    if not verdict.prospect.placed:
        raise typer.Exit(ExitCode.UNSCHEDULABLE)


def _write(wanted: Workload, verdict: WorkloadVerdict) -> None:
    asked, kind = request_text(wanted.spec.gpu_request), wanted.spec.type
    lead = (
        f"{kind.capitalize()} {verdict.meta.name} {LEADS[verdict.prospect]} in project {verdict.meta.project}: {asked}"
    )
    tables.paragraphs(lead, _summary(verdict))
    if verdict.places:
        rows = [(place, share) for place in verdict.places for share in place.devices]
        rounded = any(place.rounded for place in verdict.places)
        tables.section("Places", rows, PLACES if rounded else PLACES[:-1])
    if verdict.evictions:
        tables.section("Would be stopped", verdict.evictions, EVICTIONS)
    changes = [step.text for step in verdict.steps if step.action in HARDWARE]
    if changes:
        tables.paragraphs("On the GPUs:", changes)
    if verdict.blockers:
        tables.section("In the way", verdict.blockers, BLOCKERS)
    if verdict.queues:
        tables.section("Quota, in GPUs", verdict.queues, _queue_columns(verdict))


def _summary(verdict: WorkloadVerdict) -> Iterator[str]:
    if verdict.pods > 1:
        parts = ((verdict.starting, "now"), (verdict.making_room, "once others have gone"))
        told = [f"{count} of {verdict.pods} pods start {when}" for count, when in parts if count]
        yield "; ".join(told) or f"none of its {verdict.pods} pods starts now"
    for reason in verdict.reasons:
        yield f"{reason.code}: {reason.text}" + (f" ({reason.pods} pods)" if reason.pods > 1 else "")
    if verdict.in_queue:
        others = "1 pod that waits" if verdict.in_queue == 1 else f"{verdict.in_queue} pods that wait"
        yield f"decided together with {others} already"
    if verdict.note:
        yield f"note: {verdict.note}"


def _share(row: Placed) -> str:
    share = row[1]
    if share.backing is Backing.MIG:
        return f"mig {share.profile} at {share.start}"
    return share.backing.value


def _number(value: Callable[[VerdictQueue], float]) -> Callable[[VerdictQueue], str]:
    def cell(queue: VerdictQueue) -> str:
        return "unlimited" if value(queue) < 0 else f"{value(queue):.2f}"

    return cell


PLACES: list[Column[Placed]] = [
    Column("POD", lambda row: str(row[0].pod), lambda row: row[0].pod),
    Column("GPU", lambda row: row[1].name),
    Column("SHARE", _share),
    Column("MEMORY", lambda row: f"{row[1].memory_mib} MiB"),
    Column("GIVEN", lambda row: row[0].rounded, long=True),
]
EVICTIONS: list[Column[VerdictEviction]] = [
    Column("WORKLOAD", lambda row: row.name),
    Column("GOES ON", lambda row: f"on {row.moves_to}" if row.moves_to else "when there is room again"),
    Column("WHY", lambda row: row.why, long=True),
]
BLOCKERS: list[Column[VerdictBlocker]] = [
    Column("WORKLOAD", lambda row: row.name),
    Column("USER", lambda row: row.user, drop=2),
    Column("HOLDS", lambda row: row.holds),
    Column("OWN", lambda row: "yes" if row.own else "no"),
    Column("PREEMPTIBLE", lambda row: "yes" if row.preemptible else "no", drop=1),
]


def _queue_columns(verdict: WorkloadVerdict) -> list[Column[VerdictQueue]]:
    pool = [Column[VerdictQueue]("POOL", lambda row: row.pool)] if any(queue.pool for queue in verdict.queues) else []
    return [
        Column("QUEUE", lambda row: f"{row.kind} {row.name}"),
        *pool,
        Column("ALLOCATED", _number(lambda row: row.allocated)),
        Column("QUOTA", _number(lambda row: row.quota)),
        Column("LIMIT", _number(lambda row: row.limit), drop=1),
        Column("FAIR SHARE", _number(lambda row: row.fair_share)),
    ]
