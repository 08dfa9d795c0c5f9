"""Reports, of which none is kept."""

from __future__ import annotations

from migctl.api.v1.schemas.schema import Schema


class ReportAvailability(Schema):
    """Whether reports can be made."""

    is_available: bool = False


class ReportPage(Schema):
    """Reports: there are none."""

    reports: tuple[()] = ()
    next: None = None
