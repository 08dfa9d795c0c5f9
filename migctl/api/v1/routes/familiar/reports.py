"""Reports of consumption: none is kept, and whoever asks for one is told so (not_here.py)."""

from __future__ import annotations

from fastapi import APIRouter

from migctl.api.v1.routes.paging import Filtered, Listed
from migctl.api.v1.schemas.organization import ReportAvailability, ReportPage
from migctl.api.v1.schemas.workloads import CountOut
from migctl.api.v1.service import Door

routes = APIRouter(prefix="/org-unit/reports", tags=["reports"])


@routes.get("/availability")
async def are_reports_available(door: Door) -> ReportAvailability:
    """They are not."""
    return ReportAvailability()


@routes.get("")
async def list_reports(door: Door, query: Listed) -> ReportPage:
    """An empty list."""
    return ReportPage()


@routes.get("/count")
async def count_reports(door: Door, query: Filtered) -> CountOut:
    """None."""
    return CountOut(count=0)
