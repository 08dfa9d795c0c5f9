"""Plans and events: what was decided, and what happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from migctl.api.v1.routes.paging import Limit, Offset
from migctl.api.v1.routes.submission import NOT_FOUND
from migctl.api.v1.schemas.decisions import (
    HappeningOut,
    HappeningPage,
    PlanOut,
    PlanOutcomeOut,
    PlanPage,
    StepOut,
)
from migctl.api.v1.schemas.workload_specs import Text
from migctl.api.v1.service import CallersService, Door
from migctl.api.v1.workloads.details import part
from migctl.api.v1.workloads.found import project_name
from migctl.objects import Event, PlacementPlan

routes = APIRouter(tags=["decisions"], responses={**NOT_FOUND})

OLDEST = datetime.min.replace(tzinfo=UTC)


@routes.get("/plans")
async def list_plans(door: Door, offset: Offset = 0, limit: Limit = 50) -> PlanPage:
    """Plans that the caller may read, the newest first."""
    found = (await door.control.list(PlacementPlan)).items
    newest = sorted(found, key=lambda plan: (plan.meta.created or OLDEST, plan.meta.name), reverse=True)
    page, following = part(newest, offset, limit)
    return PlanPage(plans=[_plan(door, plan) for plan in page], next=following)


@routes.get("/plans/{plan_name}")
async def get_plan(door: Door, plan_name: str) -> PlanOut:
    """A plan, by its name."""
    return _plan(door, await door.control.get(PlacementPlan, plan_name))


@routes.get("/events")
async def list_all_events(
    door: Door,
    about: Annotated[Text, Query(description="Kind/name, or the id, of what they are about.")] = "",
    project: Annotated[Text, Query(description="Id or name of a project.")] = "",
    since: Annotated[datetime | None, Query(description="Only what happened then or later.")] = None,
    offset: Offset = 0,
    limit: Limit = 50,
) -> HappeningPage:
    """What happened to what the caller may see, the newest first."""
    wanted = project_name(door, project) if project else ""
    earliest = OLDEST if since is None else since if since.tzinfo is not None else since.replace(tzinfo=UTC)
    found = [
        event
        for event in (await door.control.list(Event)).items
        if about in ("", event.spec.about, event.spec.uid)
        and wanted in ("", event.meta.project)
        and _when(event) >= earliest
    ]
    page, following = part(sorted(found, key=lambda one: (_when(one), one.meta.uid), reverse=True), offset, limit)
    return HappeningPage(events=[_event(door, event) for event in page], next=following)


def _when(event: Event) -> datetime:
    return event.spec.last or event.meta.created or OLDEST


def _event(door: CallersService, event: Event) -> HappeningOut:
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


def _plan(door: CallersService, plan: PlacementPlan) -> PlanOut:
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
