"""`why`: the reason for a workload's state, the newest plan's outcome for it, and the claims that block it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from migctl.backends.protocol import ControlPlaneError
from migctl.backends.workload_status import holds
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view, write_each
from migctl.cli.output.tables import Column
from migctl.cli.plans import finding, history
from migctl.cli.session import Session
from migctl.cli.views.workloads import WorkloadView, find_jobs, request_text, workload_names
from migctl.explanation.leaving import waiting_for_nodes
from migctl.explanation.waiting import WhyItWaits, plan_about, waiting_of
from migctl.gpu_map import fleet
from migctl.gpu_map.fleet import Fleet, Held, share_text
from migctl.objects import Claim, NodePool, Phase, Workload
from solver.model.demand import DeviceShare

if TYPE_CHECKING:
    from solver.model.reasons import Unplaced

NEXT = {
    Phase.SUSPENDED: "migctl resume {name}",
    Phase.FAILED: "migctl logs {name}",
    Phase.COMPLETED: "migctl logs {name}",
    Phase.PENDING: "migctl gpus shows what is free and what is held",
}


@dataclass(frozen=True)
class Explanation:
    """Why a workload is in its phase, with what its texts name."""

    job: WorkloadView
    why: WhyItWaits
    fleet: Fleet
    workloads: dict[str, Workload]


def why(
    context: typer.Context, names: options.Workloads, project: options.Project = None, output: options.Output = None
) -> None:
    """Explain why workloads wait, or run where they do.

    The reason, what the newest plan says of it, and who holds what is in its way.
    """
    session = sessions.of(context)
    wanted = workload_names(names)
    shown = view(session, output)

    async def read(control: Control) -> list[Explanation]:
        chosen = await session.choose_project(control, project)
        found = await find_jobs(control, chosen, wanted, session.noun)
        return [await explain(control, job, session) for job in found]

    explanations = session.run(read, across=False)
    write_each(
        explanations,
        shown.format,
        name=lambda found: formats.name(found.job.workload),
        text=lambda found: _write(found, session),
        document=lambda found: found.why.document(),
    )


async def explain(control: Control, job: WorkloadView, session: Session) -> Explanation:
    """The workload with the newest plan about its waiting pods and why they wait now."""
    newest, seen, workloads = await asyncio.gather(
        finding.newest_first(control), fleet.read(control), control.list(Workload)
    )
    waiting = waiting_of(job.pods)
    unplaced = await waits_now(control, waiting, session.system.now()) if waiting else {}
    cluster, now = session.target.cluster, session.system.now
    leaving = waiting_for_nodes(job.workload, job.pods, seen.nodes, cluster, now)
    reasons = WhyItWaits(job.workload, job.pods, plan_about(newest, waiting), unplaced, seen.claims, leaving)
    every = {workload.meta.uid: workload for workload in workloads.items}
    return Explanation(job, reasons, seen, every)


async def waits_now(control: Control, claims: Collection[str], now: datetime) -> dict[str, Unplaced]:
    """Why these claims have no place, decided on the state of this moment; nothing for those that have one.

    Nothing as well where the person may not read the whole state: then the status says what the controller wrote.
    """
    from migctl.controller import queues
    from migctl.solver_process.planning import plan
    from solver.model.reasons import Unplaced
    from solver.model.snapshot import Policy

    try:
        state = await control.snapshot(now)
        policy = queues.policy(Policy(), (await control.list(NodePool)).items)
    except ControlPlaneError:
        return {}
    decided = await asyncio.to_thread(plan, state, policy)
    outcomes = ((uid, decided.outcomes.get(uid)) for uid in claims)
    return {uid: outcome for uid, outcome in outcomes if isinstance(outcome, Unplaced)}


def _write(found: Explanation, session: Session) -> None:
    job = found.job
    reasons = [reason + (f" ({pods} pods)" if pods > 1 else "") for reason, pods in found.why.reasons.items()]
    if not reasons and job.phase is Phase.PENDING:
        reasons = ["no plan has looked at it yet"]
    asked = request_text(job.workload.spec.gpu_request)
    tables.paragraphs(f"{job.name} is {job.phase}{_since(job, session)}; it asks for {asked}", reasons)
    if (plan := found.why.plan) is not None:
        made = tables.age_of(plan.meta.created, session.system.now)
        tables.paragraphs(f"Decided by {plan.meta.name} {made} ago ({history.certificate(plan.spec)})")
    held = [(pod, share) for pod in job.pods if holds(pod) for share in _shares(pod)]
    if held:
        tables.section("Holds", held, _share_columns(found))
    if found.why.blockers:
        rows = [(claim, share) for claim in found.why.blockers for share in _shares(claim)]
        tables.section("In the way", rows, _share_columns(found))
    if hint := NEXT.get(job.phase):
        sessions.note("next: " + hint.format(name=job.name))


def _since(job: WorkloadView, session: Session) -> str:
    started = job.workload.status.started if job.phase is Phase.RUNNING else job.workload.meta.created
    return f" (for {tables.age_of(started, session.system.now)})" if started else ""


def _shares(pod: Claim) -> tuple[DeviceShare, ...]:
    return pod.status.allocation.devices if pod.status.allocation else ()


def _share_columns(found: Explanation) -> list[Column[tuple[Claim, DeviceShare]]]:
    def preemptible(row: tuple[Claim, DeviceShare]) -> str:
        return "preemptible" if row[0].spec.preemptible else "non-preemptible"

    return [
        Column("WORKLOAD", lambda row: f"{row[0].meta.project}/{row[0].spec.workload}"),
        Column("USER", lambda row: _user(found, row[0]), drop=2),
        Column("GPU", lambda row: found.fleet.gpu_name(row[1].gpu)),
        Column("SHARE", lambda row: share_text(Held(row[0], row[1]), found.fleet)),
        Column("PRIORITY", lambda row: f"{row[0].spec.priority}, {preemptible(row)}", drop=1),
        Column("GIVEN", lambda row: row[0].status.rounded, long=True),
    ]


def _user(found: Explanation, claim: Claim) -> str:
    workload = found.workloads.get(claim.spec.workload_uid)
    return workload.spec.user if workload else ""
