"""Reports of consumption: none is kept, and whoever asks for one is told so (not_here.py)."""

from __future__ import annotations

from fastapi import APIRouter

from migctl.api.v1.routes.paging import FilterBy, Limit, Offset, Order, Search, SortBy, SortOrder
from migctl.api.v1.schemas.reports import ReportAvailability, ReportPage
from migctl.api.v1.schemas.workloads import CountOut
from migctl.api.v1.service import Door

routes = APIRouter(prefix="/org-unit/reports", tags=["reports"])


@routes.get("/availability")
async def are_reports_available(door: Door) -> ReportAvailability:
    """They are not."""
    return ReportAvailability()


@routes.get("")
async def list_reports(
    door: Door,
    filter_by: FilterBy = None,
    search: Search = "",
    sort_by: SortBy = "name",
    sort_order: Order = SortOrder.ASCENDING,
    offset: Offset = 0,
    limit: Limit = 50,
) -> ReportPage:
    """An empty list."""
    return ReportPage()


@routes.get("/count")
async def count_reports(door: Door, filter_by: FilterBy = None, search: Search = "") -> CountOut:
    """None."""
    return CountOut(count=0)
