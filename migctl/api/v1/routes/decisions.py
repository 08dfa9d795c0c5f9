"""Plans and events: what was decided or is wanted, and what happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from migctl.access.caller import Place, refused
from migctl.access.rights import Verb
from migctl.admission import gpu_request_of
from migctl.api.v1.decisions.shown import OLDEST, happened, happening_out, plan_out
from migctl.api.v1.errors import NotLegalNow, ObstacleBody, refusal
from migctl.api.v1.not_here import NotOffered
from migctl.api.v1.routes.paging import Limit, Offset
from migctl.api.v1.routes.submission import NOT_FOUND
from migctl.api.v1.routes.verdict import NOBODY
from migctl.api.v1.schemas.decisions import DefragAsked, DefragOut, HappeningPage, PlanOut, PlanPage, StayOut, UndoOut
from migctl.api.v1.schemas.submissions import Accepted
from migctl.api.v1.schemas.workload_specs import Text
from migctl.api.v1.service import CallersService, Door, LivePlanner
from migctl.api.v1.workloads.details import part
from migctl.api.v1.workloads.found import project_name
from migctl.objects import APPLY_LABEL, PROPOSED, REQUESTED, Event, PlacementPlan
from migctl.quantities import BadQuantity

LEGAL: dict[int | str, dict[str, object]] = {
    **NOBODY,
    409: {"model": ObstacleBody, "description": "It is not legal now."},
}

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


@routes.post("/plans/defrag", responses=LEGAL)
async def defragment(door: Door, sent: DefragAsked) -> DefragOut:
    """Which few moves would join free room, and what would fit then. Nothing moves before the proposal is applied."""
    await _require(door, Verb.CREATE)
    try:
        target = gpu_request_of(sent.target).to_demand() if sent.target else None
    except BadQuantity as error:
        raise refusal("target", str(error), error.hint) from None
    plan, told = await _planner(door).defragmented(sent.moves, target)
    kept = await door.control.create(plan) if sent.save and plan is not None else None
    fields = {key: told[key] for key in ("moves", "fits", "layouts")}
    return DefragOut.model_validate({**fields, "plan": kept.meta.name if kept else None})


@routes.post("/plans/{plan_name}/apply", responses=LEGAL, status_code=202)
async def apply_plan(door: Door, plan_name: str) -> Accepted:
    """Carry out a proposal; 409 where any of it is not legal any more. Its phase says what became of it."""
    await _require(door, Verb.UPDATE)
    plan = await door.control.get(PlacementPlan, plan_name)
    if why := plan.why_not_applied:
        raise NotLegalNow(f"plan {plan_name} {why}", hint="POST /api/v1/plans/defrag with save makes a new one")
    if (planner := door.service.planner) is not None and (obstacles := await planner.obstacles(plan)):
        raise NotLegalNow(f"nothing was moved: plan {plan_name} cannot be applied any more", obstacles)
    await _request(door, plan)
    return Accepted(message=f"plan {plan_name} is under way")


@routes.post("/plans/{plan_name}/undo", responses=LEGAL, status_code=202)
async def undo_plan(door: Door, plan_name: str) -> UndoOut:
    """Put back what a plan moved, as far as that is legal now; 409 where nothing can be."""
    await _require(door, Verb.CREATE)
    plan = await door.control.get(PlacementPlan, plan_name)
    if plan.phase == PROPOSED:
        raise NotLegalNow(f"plan {plan_name} was not applied: there is nothing to undo")
    back, stays = await _planner(door).undone(plan)
    if back is None and stays:
        raise NotLegalNow(f"nothing of plan {plan_name} can be put back now", stays)
    if back is not None:
        await _request(door, await door.control.create(back))
    told = [StayOut(name=name, why=why) for name, why in stays]
    return UndoOut(plan=back.meta.name if back else None, stays=told)


async def _request(door: CallersService, plan: PlacementPlan) -> None:
    """Have the controller carry out a proposal."""
    await door.control.patch(plan, {"meta": {"labels": {APPLY_LABEL: REQUESTED}}})


async def _require(door: CallersService, verb: Verb) -> None:
    """Raises Forbidden, the same whether or not there is such a plan."""
    if not await door.may(verb, PlacementPlan.PLURAL):
        raise refused(verb, PlacementPlan.PLURAL, Place())


def _planner(door: CallersService) -> LivePlanner:
    if door.service.planner is None:
        raise NotOffered("moves are not planned here: `migctl plan` decides with your kubeconfig")
    return door.service.planner
