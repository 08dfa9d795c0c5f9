"""`why`: the reason for a workload's state, the newest plan's outcome for it, and the claims that block it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import typer

from migctl.backends import workload_status
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view, write_each
from migctl.cli.output.tables import Column
from migctl.cli.plans import history
from migctl.cli.session import Session
from migctl.cli.views import fleet
from migctl.cli.views.fleet import Fleet, Held
from migctl.cli.views.workloads import WorkloadView, find_job, holds, request_text, workload_names
from migctl.cli.workloads.describe import share_text
from migctl.objects import API_VERSION, Claim, Phase, PlacementPlan, PlanOutcome, Workload
from solver.model.demand import DeviceShare

NEXT = {
    Phase.SUSPENDED: "migctl resume {name}",
    Phase.FAILED: "migctl logs {name}",
    Phase.COMPLETED: "migctl logs {name}",
    Phase.PENDING: "migctl gpus shows what is free and what is held",
}


@dataclass(frozen=True)
class Explanation:
    """A workload, the newest plan with outcomes for its pods, and those outcomes."""

    job: WorkloadView
    plan: PlacementPlan | None
    outcomes: tuple[PlanOutcome, ...]
    fleet: Fleet
    workloads: dict[str, Workload]

    @property
    def blockers(self) -> list[Claim]:
        """The claims whose end would free the nearest slot, each once."""
        uids = dict.fromkeys(uid for outcome in self.outcomes for uid in outcome.blockers)
        return [claim for uid in uids if (claim := self.fleet.claims.get(uid)) and holds(claim)]


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
        found = await asyncio.gather(*(find_job(control, chosen, each, session.noun) for each in wanted))
        return [await explain(control, job, session.system.now()) for job in found]

    explanations = session.run(read, across=False)
    write_each(
        explanations,
        shown.format,
        name=lambda found: formats.name(found.job.workload),
        text=lambda found: _write(found, session),
        document=document,
    )


async def explain(control: Control, job: WorkloadView, now: datetime) -> Explanation:
    """The workload with the newest plan about its waiting pods and that plan's outcomes for them."""
    newest, seen, workloads = await asyncio.gather(
        history.newest_first(control), fleet.read(control), control.list(Workload)
    )
    waiting = {pod.meta.uid for pod in job.pods if pod.status.allocation is None}
    plan = next((plan for plan in newest if any(o.claim in waiting for o in plan.spec.outcomes)), None)
    outcomes = tuple(o for o in plan.spec.outcomes if o.claim in waiting) if plan else ()
    if plan is None and any(pod.status.reason for pod in job.pods if pod.meta.uid in waiting):
        outcomes = tuple(o for o in await _decided_now(control, now) if o.claim in waiting and not o.placed)
    return Explanation(job, plan, outcomes, seen, {workload.meta.uid: workload for workload in workloads.items})


async def _decided_now(control: Control, now: datetime) -> tuple[PlanOutcome, ...]:
    """The planner's outcomes for the cluster as it is. Plans that only make requests wait on are not recorded."""
    from migctl.controller.names import Names
    from migctl.controller.publish import outcomes
    from migctl.solver_process.planning import plan

    state = await control.snapshot(now)
    return outcomes(Names(state), await asyncio.to_thread(plan, state))


def _write(found: Explanation, session: Session) -> None:
    job = found.job
    reasons = [
        reason + (f" ({pods} pods)" if pods > 1 else "") for reason, pods in _reasons(job, found.outcomes).items()
    ]
    if not reasons and job.phase is Phase.PENDING:
        reasons = ["no plan has looked at it yet"]
    asked = request_text(job.workload.spec.gpu_request)
    tables.paragraphs(f"{job.name} is {job.phase}{_since(job, session)}; it asks for {asked}", reasons)
    if found.plan is not None:
        made = tables.age_of(found.plan.meta.created, session.system.now)
        tables.paragraphs(f"Decided by {found.plan.meta.name} {made} ago ({history.certificate(found.plan.spec)})")
    held = [(pod, share) for pod in job.pods if holds(pod) for share in _shares(pod)]
    if held:
        tables.section("Holds", held, _share_columns(found))
    if found.blockers:
        rows = [(claim, share) for claim in found.blockers for share in _shares(claim)]
        tables.section("In the way", rows, _share_columns(found))
    if hint := NEXT.get(job.phase):
        sessions.note("next: " + hint.format(name=job.name))


def _since(job: WorkloadView, session: Session) -> str:
    started = job.workload.status.started if job.phase is Phase.RUNNING else job.workload.meta.created
    return f" (for {tables.age_of(started, session.system.now)})" if started else ""


def _reasons(job: WorkloadView, outcomes: Iterable[PlanOutcome]) -> Counter[str]:
    """Reasons as sentences, with how many pods each is of."""
    texts = (workload_status.reason_and_message(pod.status) for pod in job.pods if not holds(pod))
    reasons = Counter(text for text in texts if text)
    if not reasons and job.reason:
        reasons[job.reason] = 1
    return reasons or Counter(outcome.text for outcome in outcomes)


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


def document(found: Explanation) -> dict[str, object]:
    """The answer for machines."""
    job = found.job
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkloadExplanation",
        "workload": job.name,
        "project": job.project,
        "phase": job.phase.value,
        "reasons": list(_reasons(job, found.outcomes)),
        "plan": found.plan.meta.name if found.plan else None,
        "blockers": [
            {"workload": claim.spec.workload, "project": claim.meta.project, "claim": claim.meta.uid}
            for claim in found.blockers
        ],
    }
