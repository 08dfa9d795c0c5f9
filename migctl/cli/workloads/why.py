"""`why`: the reason for a workload's state, the newest plan's outcome for it, and the claims that block it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from migctl.backends import workload_status
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
from migctl.cli.views.leaving import waiting_for_nodes
from migctl.cli.views.workloads import WorkloadView, find_jobs, request_text, workload_names
from migctl.gpu_map import fleet
from migctl.gpu_map.fleet import Fleet, Held, share_text
from migctl.objects import API_VERSION, Claim, NodePool, Phase, PlacementPlan, Workload, to_builtins
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
    """A workload, the newest plan about it, and what the planner says of its waiting pods now.

    unplaced  by claim uid, of one snapshot: the reasons and the claims in the way cannot disagree
    leaving   what those pods wait for that are told to stop and cannot
    """

    job: WorkloadView
    plan: PlacementPlan | None
    unplaced: Mapping[str, Unplaced]
    fleet: Fleet
    workloads: dict[str, Workload]
    leaving: Sequence[str] = ()

    @property
    def blockers(self) -> list[Claim]:
        """The claims whose end would free the nearest slot, each once."""
        found = [reason.blockers for reason in self.unplaced.values() if reason.blockers]
        uids = dict.fromkeys(uid for blockers in found for uid in blockers.claims)
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
        found = await find_jobs(control, chosen, wanted, session.noun)
        return [await explain(control, job, session) for job in found]

    explanations = session.run(read, across=False)
    write_each(
        explanations,
        shown.format,
        name=lambda found: formats.name(found.job.workload),
        text=lambda found: _write(found, session),
        document=document,
    )


async def explain(control: Control, job: WorkloadView, session: Session) -> Explanation:
    """The workload with the newest plan about its waiting pods and why they wait now."""
    newest, seen, workloads = await asyncio.gather(
        finding.newest_first(control), fleet.read(control), control.list(Workload)
    )
    waiting = {pod.meta.uid for pod in job.pods if pod.status.allocation is None}
    plan = next((plan for plan in newest if any(o.claim in waiting for o in plan.spec.outcomes)), None)
    unplaced = await waits_now(control, waiting, session.system.now()) if waiting else {}
    leaving = waiting_for_nodes(job, seen, session.target.cluster, session.system.now)
    every = {workload.meta.uid: workload for workload in workloads.items}
    return Explanation(job, plan, unplaced, seen, every, leaving)


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
    reasons = [reason + (f" ({pods} pods)" if pods > 1 else "") for reason, pods in _reasons(found).items()]
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


def _reasons(found: Explanation) -> Counter[str]:
    """Reasons as sentences, with how many pods each is of."""
    pods = [pod for pod in found.job.pods if not holds(pod)]
    reasons = Counter(found.leaving)
    reasons.update(text for pod in pods if (text := _reason(pod, found.unplaced.get(pod.meta.uid))))
    if not reasons and found.job.reason:
        reasons[found.job.reason] = 1
    return reasons


def _reason(pod: Claim, unplaced: Unplaced | None) -> str:
    from migctl.reason_text import sentence

    if unplaced is None or pod.meta.deleting is not None:
        return workload_status.reason_and_message(pod.status)
    return f"{unplaced.code}: {sentence(unplaced)}"


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
        "reasons": list(_reasons(found)),
        "facts": [_facts(uid, reason) for uid, reason in found.unplaced.items()],
        "plan": found.plan.meta.name if found.plan else None,
        "blockers": [
            {"workload": claim.spec.workload, "project": claim.meta.project, "claim": claim.meta.uid}
            for claim in found.blockers
        ],
    }


def _facts(claim: str, reason: Unplaced) -> dict[str, object]:
    """A reason as data: its code, the kind of its facts, and the facts."""
    return {
        "claim": claim,
        "code": reason.code.value,
        "kind": type(reason.facts).__name__,
        **{name: to_builtins(getattr(reason, name)) for name in ("facts", "gang", "figures", "blockers", "cordoned")},
    }
