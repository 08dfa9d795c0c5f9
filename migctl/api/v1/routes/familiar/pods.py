"""Pods of all workloads."""

from __future__ import annotations

from itertools import chain

from fastapi import APIRouter

from migctl.api.v1.filters import passing
from migctl.api.v1.routes.paging import FilterBy, Limit, Offset, Order, Search, SortBy, SortOrder
from migctl.api.v1.schemas.workloads import CountOut, PodPage
from migctl.api.v1.service import CallersService, Door
from migctl.api.v1.workloads.details import pod_out
from migctl.api.v1.workloads.pods import PODS, PodRow, pods_of
from migctl.api.v1.workloads.rows import rows_of

routes = APIRouter(prefix="/workloads/pods", tags=["workloads"])


@routes.get("")
async def list_all_pods(
    door: Door,
    filter_by: FilterBy = None,
    search: Search = "",
    sort_by: SortBy = "createdAt",
    sort_order: Order = SortOrder.ASCENDING,
    offset: Offset = 0,
    limit: Limit = 50,
    completed: bool | None = None,
    deleted: bool = False,
) -> PodPage:
    """Pods of all workloads that the caller may see, a page at a time; `deleted`: none is kept."""
    chosen, descending = PODS.filters(filter_by or (), search), sort_order is SortOrder.DESCENDING
    rows = [] if deleted else [row for row in await _rows(door) if completed in (None, row.completed)]
    shown, more = PODS.page(rows, chosen, sort_by, descending, offset, limit)
    return PodPage(pods=[pod_out(door, row.of, row.pod) for row in shown], next=offset + limit if more else None)


@routes.get("/count")
async def count_pods(door: Door, filter_by: FilterBy = None, search: Search = "", deleted: bool = False) -> CountOut:
    """How many pods the caller may see."""
    rows = [] if deleted else await _rows(door)
    return CountOut(count=len(passing(rows, PODS.filters(filter_by or (), search))))


async def _rows(door: CallersService) -> list[PodRow]:
    return list(chain.from_iterable(map(pods_of, (await rows_of(door.service)).seen_by(door.seen))))
