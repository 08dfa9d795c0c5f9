"""Pods of all workloads."""

from __future__ import annotations

from itertools import chain

from fastapi import APIRouter

from migctl.api.v1.routes.paging import Filtered, Limit, ListQuery, Offset, Order, SortBy, SortOrder
from migctl.api.v1.schemas.workloads import CountOut, PodPage
from migctl.api.v1.service import CallersService, Door
from migctl.api.v1.workloads.details import pod_out
from migctl.api.v1.workloads.pods import PODS, PodRow, pods_of
from migctl.api.v1.workloads.rows import rows_of

routes = APIRouter(prefix="/workloads/pods", tags=["workloads"])


@routes.get("")
async def list_all_pods(
    door: Door,
    chosen: Filtered,
    sort_by: SortBy = "createdAt",
    sort_order: Order = SortOrder.ASCENDING,
    offset: Offset = 0,
    limit: Limit = 50,
    completed: bool | None = None,
    deleted: bool = False,
) -> PodPage:
    """Pods of all workloads that the caller may see, a page at a time; `deleted`: none is kept."""
    rows = [] if deleted else [row for row in await _rows(door) if completed in (None, row.completed)]
    shown, following = ListQuery(chosen, sort_by, sort_order, offset, limit).page(PODS, rows)
    return PodPage(pods=[pod_out(door, row.of, row.pod) for row in shown], next=following)


@routes.get("/count")
async def count_pods(door: Door, query: Filtered, deleted: bool = False) -> CountOut:
    """How many pods the caller may see."""
    rows = [] if deleted else await _rows(door)
    return CountOut(count=query.count(PODS, rows))


async def _rows(door: CallersService) -> list[PodRow]:
    return list(chain.from_iterable(map(pods_of, (await rows_of(door.service)).seen_by(door.seen))))
