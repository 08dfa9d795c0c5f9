"""What would become of a workload before it is sent, and why it is in its phase afterwards."""

from __future__ import annotations

from fastapi import APIRouter

from migctl.api.v1.errors import ErrorBody
from migctl.api.v1.routes.submission import CONFLICT, NOT_FOUND
from migctl.api.v1.schemas.verdicts import Question, VerdictOut, WhyOut
from migctl.api.v1.service import Door
from migctl.api.v1.workloads.explaining import why_of
from migctl.api.v1.workloads.found import workload_of
from migctl.api.v1.workloads.judging import verdict_on

NOBODY: dict[int | str, dict[str, object]] = {501: {"model": ErrorBody, "description": "No verdicts are given here."}}

routes = APIRouter(tags=["workloads"])


@routes.post("/workloads/verdict", responses={**NOT_FOUND, **CONFLICT, **NOBODY})
async def judge_workload(door: Door, sent: Question) -> VerdictOut:
    """What the planner would do with a workload now: where it starts and after what, or why it waits and for whom."""
    return await verdict_on(door, sent)


@routes.get("/workloads/{workload_id}/why", responses=NOT_FOUND)
async def explain_workload(door: Door, workload_id: str) -> WhyOut:
    """Why a workload waits, or is in its phase: reasons, their facts, and what is in its way."""
    return await why_of(door, await workload_of(door, workload_id))
