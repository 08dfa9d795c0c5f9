"""Plans that somebody wants: moves proposed, carried out, and put back. Each is checked on the newest state."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException

from migctl.access.caller import Place, refused
from migctl.access.rights import Verb
from migctl.admission import gpu_request_of
from migctl.api.v1.errors import NotLegalNow, ObstacleBody, refusal
from migctl.api.v1.routes.submission import NOT_FOUND
from migctl.api.v1.routes.verdict import NOBODY
from migctl.api.v1.schemas.decisions import DefragAsked, DefragOut, StayOut, UndoOut
from migctl.api.v1.schemas.submissions import Accepted
from migctl.api.v1.service import CallersService, Door, LivePlanner
from migctl.objects import APPLY_LABEL, PROPOSED, REQUESTED, PlacementPlan
from migctl.quantities import BadQuantity

routes = APIRouter(
    tags=["decisions"],
    responses={**NOT_FOUND, **NOBODY, 409: {"model": ObstacleBody, "description": "It is not legal now."}},
)


@routes.post("/plans/defrag")
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


@routes.post("/plans/{plan_name}/apply", status_code=202)
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


@routes.post("/plans/{plan_name}/undo", status_code=202)
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
        raise HTTPException(501, "moves are not planned here: `migctl plan` decides with your kubeconfig")
    return door.service.planner
