"""Plans and events: what was decided, and what happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from migctl.api.v1.decisions.shown import OLDEST, happened, happening_out, plan_out
from migctl.api.v1.routes.paging import Limit, Offset
from migctl.api.v1.routes.submission import NOT_FOUND
from migctl.api.v1.schemas.decisions import HappeningPage, PlanOut, PlanPage
from migctl.api.v1.schemas.workload_specs import Text
from migctl.api.v1.service import Door
from migctl.api.v1.workloads.details import part
from migctl.api.v1.workloads.found import project_name
from migctl.objects import Event, PlacementPlan

routes = APIRouter(tags=["decisions"], responses={**NOT_FOUND})


@routes.get("/plans")
async def list_plans(door: Door, offset: Offset = 0, limit: Limit = 50) -> PlanPage:
    """Plans that the caller may read, the newest first."""
    found = (await door.control.list(PlacementPlan)).items
    newest = sorted(found, key=lambda plan: (plan.meta.created or OLDEST, plan.meta.name), reverse=True)
    page, following = part(newest, offset, limit)
    return PlanPage(plans=[plan_out(door, plan) for plan in page], next=following)


@routes.get("/plans/{plan_name}")
async def get_plan(door: Door, plan_name: str) -> PlanOut:
    """A plan, by its name."""
    return plan_out(door, await door.control.get(PlacementPlan, plan_name))


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
        and happened(event) >= earliest
    ]
    page, following = part(sorted(found, key=lambda one: (happened(one), one.meta.uid), reverse=True), offset, limit)
    return HappeningPage(events=[happening_out(door, event) for event in page], next=following)
