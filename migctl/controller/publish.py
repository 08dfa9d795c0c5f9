"""Publish: the results of a cycle, written to claims, plans and events.

Only differences are written, so that a quiet cluster writes nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from itertools import islice
from typing import Any

from msgspec.structs import replace

from migctl.backends.event_log import EventLog
from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import ControlPlane, ControlPlaneError
from migctl.controller.apply import MAX_CONCURRENT_WRITES, Verdict
from migctl.controller.names import Names
from migctl.objects import (
    Claim,
    Meta,
    PlacementPlan,
    PlanMove,
    PlanOmissions,
    PlanOutcome,
    PlanSpec,
    PlanStep,
    StepState,
    T,
)
from migctl.reason_text import sentence, summary
from solver.model import plan as decided
from solver.model.reasons import Unplaced
from solver.model.snapshot import Snapshot

CLAIMS_AT_ONCE = 500
"""Then others on the event loop have their turn."""
MOST_STEPS = 1000
MOST_OUTCOMES = 500
MOST_BLOCKERS = 16
"""What a stored plan lists: with long names it stays below half of etcd's limit of 1.5 MiB for a request."""
Reasons = Mapping[str, tuple[str, str]]
"""The reason and message of each claim that waits, by uid."""


def reasons_of(plan: decided.Plan) -> Reasons:
    """What the statuses of the claims that wait must say."""
    said: dict[int, tuple[str, str]] = {}
    found = {}
    for uid, outcome in plan.outcomes.items():
        if id(outcome) not in said:
            said[id(outcome)] = _reason(outcome)
        if said[id(outcome)][0]:
            found[uid] = said[id(outcome)]
    return found


async def reasons(control_plane: ControlPlane, mirror: ObjectView, found: Reasons) -> None:
    """Write to every claim without an allocation why it waits."""
    writing = asyncio.Semaphore(MAX_CONCURRENT_WRITES)

    async def write(claim: Claim, reason: str, message: str) -> None:
        async with writing:
            await _patch(control_plane, mirror, claim, {"reason": reason, "message": message})

    async with asyncio.TaskGroup() as tasks:
        for number, claim in enumerate(mirror.all(Claim)):
            if number % CLAIMS_AT_ONCE == 0:
                await asyncio.sleep(0)
            reason = found.get(claim.meta.uid)
            if reason and claim.status.allocation is None and (claim.status.reason, claim.status.message) != reason:
                tasks.create_task(write(claim, *reason))


def _reason(outcome: decided.Outcome) -> tuple[str, str]:
    if isinstance(outcome, Unplaced):
        return outcome.code.value, summary(outcome)
    if outcome.waits_for:
        return "freeing-room", f"room is being freed on {outcome.grant.node}: {len(outcome.waits_for)} to stop first"
    return "", ""


async def record(
    control_plane: ControlPlane,
    names: Names,
    plan: decided.Plan,
    verdicts: Mapping[int, Verdict],
    milliseconds: float,
    moves: tuple[PlanMove, ...] = (),
) -> PlacementPlan:
    """Store the plan as it was applied, for `plan list` and `plan show`."""
    spec = await asyncio.to_thread(spec_of, names, plan, verdicts, milliseconds)
    spec = replace(spec, moves=moves)
    return await control_plane.create(PlacementPlan(meta=Meta(name=f"plan-{secrets.token_hex(4)}"), spec=spec))


def spec_of(names: Names, plan: decided.Plan, verdicts: Mapping[int, Verdict], milliseconds: float) -> PlanSpec:
    """The plan as it is stored; a step without a verdict counts as carried out."""
    certificate = plan.certificate
    listed = _sample(plan)
    placed = sum(isinstance(outcome, decided.Placed) for outcome in plan.outcomes.values())
    shown = sum(isinstance(plan.outcomes[uid], decided.Placed) for uid in listed)
    left = plan.steps[MOST_STEPS:]
    return PlanSpec(
        steps=tuple(
            step_of(names, step, plan.after.get(i, ()), verdicts.get(i, (StepState.ACCEPTED, "")))
            for i, step in enumerate(plan.steps[:MOST_STEPS])
        ),
        outcomes=tuple(_outcome(names, uid, plan.outcomes[uid]) for uid in listed),
        left_out=PlanOmissions(
            steps=len(left),
            evictions=sum(isinstance(step, decided.Evict) for step in left),
            placed=placed - shown,
            waiting=len(plan.outcomes) - placed - (len(listed) - shown),
        ),
        method=certificate.method.value,
        value=certificate.value,
        bound=certificate.bound,
        gap=certificate.gap,
        operations=certificate.operations,
        operations_bound=certificate.operations_bound,
        note=certificate.note,
        milliseconds=round(milliseconds, 3),
    )


def _sample(plan: decided.Plan) -> list[str]:
    """Claims whose outcomes are listed, in order: of every reason one first, then others, up to MOST_OUTCOMES."""
    if len(plan.outcomes) <= MOST_OUTCOMES:
        return list(plan.outcomes)
    firsts: dict[int, str] = {}
    for uid, outcome in plan.outcomes.items():
        if isinstance(outcome, Unplaced):
            firsts.setdefault(id(outcome.facts), uid)
    chosen = set(islice(firsts.values(), MOST_OUTCOMES // 2))
    for uid in plan.outcomes:
        if len(chosen) == MOST_OUTCOMES:
            break
        chosen.add(uid)
    return [uid for uid in plan.outcomes if uid in chosen]


def _outcome(names: Names, uid: str, outcome: decided.Outcome) -> PlanOutcome:
    """What the plan means for a pending claim, with readable names."""
    if isinstance(outcome, decided.Placed):
        return PlanOutcome(uid, names.claim(uid), True, names.grant(outcome.grant))
    blockers = outcome.blockers.claims[:MOST_BLOCKERS] if outcome.blockers else ()
    return PlanOutcome(uid, names.claim(uid), False, sentence(outcome), outcome.code.value, blockers)


async def events(
    log: EventLog,
    mirror: ObjectView,
    names: Names,
    state: Snapshot,
    plan: decided.Plan,
    verdicts: Mapping[int, Verdict],
) -> None:
    """Events for the evictions and placements that were carried out, and for claims that evictions make room for."""
    workloads = {claim.meta.uid: claim.spec.workload_uid for claim in mirror.all(Claim)}
    moved = {step.claim for step in plan.steps if isinstance(step, decided.Assign)}
    requests = {r.claim: r for r in (*state.pending, *(holding.request for holding in state.held))}
    for position, (verdict, _) in verdicts.items():
        step = plan.steps[position]
        if verdict is not StepState.ACCEPTED or _claim_of(step) not in requests:
            continue
        request = requests[_claim_of(step)]
        about = f"Workload/{request.workload}"
        if isinstance(step, decided.Evict):
            reason = "Moved" if step.claim in moved else "Preempted"
            uid = workloads.get(step.claim, "")
            await log.record(about, request.project, reason, step.why, uid=uid, warning=True)
            if taker := requests.get(step.beneficiary):
                text = f"room is freed by {names.claim(step.claim)}: {step.why}"
                about, uid = f"Workload/{taker.workload}", workloads.get(taker.claim, "")
                await log.record(about, taker.project, "FreeingRoom", text, uid=uid)
        elif isinstance(step, decided.Assign):
            outcome = plan.outcomes.get(step.claim)
            rounded = outcome.rounded if isinstance(outcome, decided.Placed) else ""
            message = names.grant(step.grant) + (f"; {rounded}" if rounded else "")
            await log.record(about, request.project, "Placed", message, uid=workloads.get(step.claim, ""))


def _claim_of(step: decided.Step) -> str:
    """The claim a step is about, "" for one about a GPU."""
    return step.claim if isinstance(step, decided.Evict | decided.Assign) else ""


def step_of(names: Names, step: decided.Step, after: tuple[int, ...], verdict: Verdict) -> PlanStep:
    """A step as it is stored or shown."""
    state, reason = verdict
    return PlanStep(
        action=type(step).__name__.lower(),
        text=names.step(step),
        claim=_claim_of(step),
        gpu=step.gpu if isinstance(step, decided.Create | decided.Destroy) else "",
        profile=step.profile if isinstance(step, decided.Create | decided.Destroy) else "",
        start=step.start if isinstance(step, decided.Create | decided.Destroy) else None,
        after=after,
        state=state,
        reason=reason,
    )


async def _patch(control_plane: ControlPlane, mirror: ObjectView, obj: T, status: Mapping[str, Any]) -> None:
    """Write a status that only informs; an error is ignored, because the next cycle writes it again."""
    try:
        await mirror.absorb(await control_plane.patch(obj, {"status": dict(status)}, fenced=True))
    except ControlPlaneError:
        return
