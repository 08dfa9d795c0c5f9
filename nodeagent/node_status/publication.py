"""When a node's report is written to its object, and what is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from nodeagent.contract.allocation import NodeReport


class Publication:
    """The reports of one node: which of them are due.

    A report with other GPUs, layouts or holders than the published one is due at once, and so is one after `force`.

    heartbeat_s  a report without such changes is due so many seconds after the last one was published: processes
                 come and go, and readers know by it that the agent lives. None: there are no heartbeats, and a
                 report that differs in anything is due at once
    """

    def __init__(self, heartbeat_s: float | None) -> None:
        self._heartbeat_s = heartbeat_s
        self._published: NodeReport | None = None
        self._heartbeat_at = 0.0
        self._forced = False
        self._newest = 0

    def force(self) -> None:
        """The next report is due, whatever it says."""
        self._forced = True

    def is_outdated(self, report: NodeReport) -> bool:
        """Whether a newer report than this one was considered before."""
        outdated = report.generation < self._newest
        self._newest = max(report.generation, self._newest)
        return outdated

    def is_due(self, report: NodeReport, now: float) -> bool:
        """Whether to publish a report at a time (seconds of a monotonic clock). Ends `force`."""
        forced, self._forced = self._forced, False
        if forced or self._published is None:
            return True
        if self._heartbeat_s is None:
            return report != self._published
        return now >= self._heartbeat_at or replace(report, processes=()) != replace(self._published, processes=())

    def published(self, report: NodeReport, now: float) -> None:
        """The report was written."""
        self._published = report
        self._heartbeat_at = now + (self._heartbeat_s or 0.0)


def status_fields(report: NodeReport, reported: datetime) -> dict[str, Any]:
    """The fields of a node's status that a report sets."""
    return {"report": report, "reported": reported, "ready": True, "message": ""}
