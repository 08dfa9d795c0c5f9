"""Lists of workloads, and what there is to know of one: pods, events, history, figures, output."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from migctl.access.ending import while_allowed
from migctl.api.streams import streamed
from migctl.api.v1.errors import refusal
from migctl.api.v1.routes.paging import MAX_OFFSET, MAX_PAGE, FilterQuery, Limit, ListQuery, Offset, Order, SortOrder
from migctl.api.v1.routes.submission import NOT_FOUND
from migctl.api.v1.schemas.submissions import BatchOutcome, WorkloadBatch
from migctl.api.v1.schemas.workload_specs import Text
from migctl.api.v1.schemas.workloads import (
    CountOut,
    EventPage,
    HistoryPage,
    MetricsOut,
    MetricType,
    PodPage,
    WorkloadOut,
    WorkloadPage,
)
from migctl.api.v1.service import CallersService, Door
from migctl.api.v1.workloads.details import event_out, events_of, history_of, measured, part, pod_out, workload_out
from migctl.api.v1.workloads.fields import FIELDS
from migctl.api.v1.workloads.found import workload_of
from migctl.api.v1.workloads.lifecycle import batch
from migctl.api.v1.workloads.rows import WorkloadRow, rows_of

routes = APIRouter(tags=["workloads"])

FilterBy = Annotated[
    list[Text] | None,
    Query(
        alias="filterBy",
        max_length=MAX_PAGE,
        description="FIELD OPERATOR VALUE, with commas between several, which must all be true. Operators: == != <= >= "
        f"=@ (contains) !@ =^ (begins with) =$ (ends with). Fields: {', '.join(FIELDS.all)}.",
        examples=[["phase==Pending,type==Training"]],
    ),
]
Search = Annotated[Text, Query(description="Text in names, projects, users, types, phases, images, nodes or ids.")]
SortBy = Annotated[Text, Query(alias="sortBy", description=f"One of {', '.join(FIELDS.all)}.")]
Deleted = Annotated[bool, Query(description="Those that were deleted; none is kept.")]


@routes.get("/workloads")
async def list_workloads(
    door: Door,
    filter_by: FilterBy = None,
    search: Search = "",
    sort_by: SortBy = "createdAt",
    sort_order: Order = SortOrder.ASCENDING,
    offset: Offset = 0,
    limit: Limit = 50,
    deleted: Deleted = False,
) -> WorkloadPage:
    """The workloads that the caller may see, a page at a time."""
    query = ListQuery(FilterQuery(filter_by, search), sort_by, sort_order, offset, limit)
    rows = () if deleted else (await rows_of(door.service)).seen_by(door.seen)
    shown, following = query.page(FIELDS, rows)
    return WorkloadPage(workloads=[workload_out(door, row) for row in shown], next=following)


@routes.get("/workloads/count")
async def count_workloads(
    door: Door, filter_by: FilterBy = None, search: Search = "", deleted: Deleted = False
) -> CountOut:
    """How many workloads the caller may see."""
    rows = () if deleted else (await rows_of(door.service)).seen_by(door.seen)
    return CountOut(count=FilterQuery(filter_by, search).count(FIELDS, rows))


@routes.post("/workloads/batch")
async def batch_workloads(door: Door, sent: WorkloadBatch) -> BatchOutcome:
    """Delete, suspend or resume many; what cannot be done to one keeps nothing from the others."""
    return await batch(door, sent)


@routes.get("/workloads/{workload_id}", responses=NOT_FOUND)
async def get_workload(door: Door, workload_id: str) -> WorkloadOut:
    """A workload with what it holds and why it is in its phase."""
    return workload_out(door, await _row(door, workload_id))


@routes.get("/workloads/{workload_id}/pods", responses=NOT_FOUND)
async def list_pods(
    door: Door,
    workload_id: str,
    search: Search = "",
    offset: Offset = 0,
    limit: Limit = 50,
    deleted: Deleted = False,
) -> PodPage:
    """Its pods, by index; attempts that are over come before the one that is not."""
    row = await _row(door, workload_id)
    pods = [] if deleted else sorted(row.pods, key=lambda pod: (pod.spec.index, pod.spec.attempt))
    page, following = part([pod for pod in pods if search.casefold() in pod.meta.name], offset, limit)
    return PodPage(pods=[pod_out(door, row, pod) for pod in page], next=following)


@routes.get("/workloads/{workload_id}/events", responses=NOT_FOUND)
async def list_events(
    door: Door,
    workload_id: str,
    sort_order: Order = SortOrder.ASCENDING,
    offset: Offset = 0,
    limit: Limit = 50,
) -> EventPage:
    """What happened to it."""
    workload = await workload_of(door, workload_id)
    found = await events_of(door, workload)
    page, following = part(found[::-1] if sort_order is SortOrder.DESCENDING else found, offset, limit)
    return EventPage(events=[event_out(door, workload, event) for event in page], next=following)


@routes.get("/workloads/{workload_id}/history", responses=NOT_FOUND, response_model_exclude_none=True)
async def list_history(door: Door, workload_id: str, offset: Offset = 0, limit: Limit = 50) -> HistoryPage:
    """Its phases as far as they are known, and what happened to it, the oldest first."""
    row = await _row(door, workload_id)
    page, following = part(history_of(door, row, await events_of(door, row.workload)), offset, limit)
    return HistoryPage(records=page, next=following)


@routes.get("/workloads/{workload_id}/metrics", responses=NOT_FOUND)
@routes.get("/workloads/inferences/{workload_id}/metrics", responses=NOT_FOUND, operation_id="get_inference_metrics")
async def get_metrics(
    door: Door,
    workload_id: str,
    metric_type: Annotated[
        list[Text] | None,
        Query(alias="metricType", max_length=MAX_PAGE, description=f"Known now: {', '.join(MetricType)}."),
    ] = None,
    start: datetime | None = None,
    end: datetime | None = None,
    number_of_samples: Annotated[int, Query(alias="numberOfSamples", ge=0, le=1000)] = 20,
) -> MetricsOut:
    """What it holds now; the past is not kept here. A figure that is not known has no values."""
    row = await _row(door, workload_id)
    kinds = [kind for text in metric_type or () for kind in text.split(",") if kind] or list(MetricType)
    now = door.service.clock()
    if start is not None and end is not None and _aware(end) < _aware(start):
        raise refusal("end", "is before start")
    asked = (start is None or _aware(start) <= now) and (end is None or now <= _aware(end)) and number_of_samples
    return MetricsOut(measurements=measured(row, dict.fromkeys(kinds[:MAX_PAGE]), now if asked else None))


@routes.get(
    "/workloads/{workload_id}/logs",
    responses={**NOT_FOUND, 200: {"description": "What its pods wrote.", "content": {"text/plain": {}}}},
)
async def get_logs(
    door: Door,
    workload_id: str,
    request: Request,
    follow: bool = False,
    tail: Annotated[int | None, Query(ge=0, le=MAX_OFFSET)] = None,
) -> StreamingResponse:
    """What its pods wrote: the last `tail` lines, or all; with follow, on until it ends."""
    workload = await workload_of(door, workload_id)
    output = while_allowed(await door.service.runtime.logs(workload, follow, tail), door.ended)
    return streamed(output, request.app.state.closing, "text/plain; charset=utf-8")


async def _row(door: CallersService, uid: str) -> WorkloadRow:
    """The row of a workload, as it is stored. Raises NotFound."""
    workload = await workload_of(door, uid)
    rows = await rows_of(door.service)
    kept = rows.of(uid)
    assert kept is not None, "it was found by its row"
    return WorkloadRow(workload, kept.pods, kept.place)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
