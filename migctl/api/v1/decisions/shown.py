"""How plans and events are shown."""

from __future__ import annotations

from datetime import UTC, datetime

from migctl.api.v1.schemas.decisions import HappeningOut, PlanOut, PlanOutcomeOut, StepOut
from migctl.api.v1.service import CallersService
from migctl.objects import Event, PlacementPlan

OLDEST = datetime.min.replace(tzinfo=UTC)


def happened(event: Event) -> datetime:
    """When it happened, for the last time."""
    return event.spec.last or event.meta.created or OLDEST


def happening_out(door: CallersService, event: Event) -> HappeningOut:
    """An event as a caller may read it."""
    return HappeningOut(
        id=event.meta.uid,
        about=door.told(event.spec.about),
        about_id=event.spec.uid,
        project=event.meta.project,
        type="Warning" if event.spec.warning else "Normal",
        reason=event.spec.reason,
        message=door.told(event.spec.message),
        count=event.spec.count,
        created_at=event.meta.created,
        last_at=event.spec.last or event.meta.created,
    )


def plan_out(door: CallersService, plan: PlacementPlan) -> PlanOut:
    """A plan as a caller may read it."""
    spec = plan.spec
    return PlanOut(
        id=plan.meta.uid,
        name=plan.meta.name,
        phase=plan.phase,
        message=door.told(plan.status.message),
        proposed=spec.proposed,
        created_at=plan.meta.created,
        method=spec.method,
        note=door.told(spec.note),
        gap=spec.gap,
        milliseconds=spec.milliseconds,
        steps=[
            StepOut(
                action=step.action,
                text=door.told(step.text),
                gpu=step.gpu,
                profile=step.profile,
                start=step.start,
                after=list(step.after),
                state=step.state,
                reason=door.told(step.reason),
            )
            for step in spec.steps
        ],
        outcomes=[
            PlanOutcomeOut(name=door.told(one.name), placed=one.placed, code=one.code, text=door.told(one.text))
            for one in spec.outcomes
        ],
        steps_left_out=spec.left_out.steps,
        outcomes_left_out=spec.left_out.placed + spec.left_out.waiting,
    )
