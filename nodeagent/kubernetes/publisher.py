"""Publishes the agent's reports as GpuNode and ResourceSlices: after changes, and as a heartbeat.

Making a report costs more than anything else that an idle agent does. So the reports of its periodic checks are
published too, and the publisher makes one itself only after an event, or where none of those came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from nodeagent.contract.allocation import AgentError, NodeReport
from nodeagent.contract.wire import API_VERSION
from nodeagent.gpu.events import AgentEvent, EventKind
from nodeagent.kubernetes.client import ApiError
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from nodeagent.kubernetes.slice_store import SliceStore
from nodeagent.kubernetes.slices import specs
from nodeagent.node_status.publication import Publication
from nodeagent.nvml import NvmlError
from nodeagent.supervised import SupervisedLoop

REPORT_S = 10.0
HEARTBEAT_S = 20.0

_CHANGES = frozenset(EventKind) - {EventKind.REFUSED, EventKind.OVERSTEPPED}

_log = structlog.get_logger("nodeagent")


class Publisher:
    """Publishes in a loop of its own from `start` to `stop`. `observer`, `soon` and `offer` wake it.

    seen  is called with every report before it is published
    """

    def __init__(
        self,
        gpu_node: GpuNodeWriter,
        slices: SliceStore,
        seen: Callable[[NodeReport], None] = lambda report: None,
        *,
        every_s: float = REPORT_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._gpu_node, self._slices, self._seen = gpu_node, slices, seen
        self._clock, self._now = clock, now
        self._publication = Publication(HEARTBEAT_S)
        self._report_due = False
        self._offered: NodeReport | None = None
        self._report: Callable[[], NodeReport] | None = None
        self.loop = SupervisedLoop(
            "publisher", self._publish, every_s, expected=(ApiError, NvmlError, AgentError), at_once=True
        )

    def observer(self, event: AgentEvent) -> None:
        """Publish soon what an event changed."""
        if event.kind in _CHANGES:
            self._report_due = True
            self.loop.wake()

    def soon(self) -> None:
        """Make a report now, and write the heartbeat even if nothing changed."""
        self._publication.force()
        self._report_due = True
        self.loop.wake()

    def offer(self, report: NodeReport) -> None:
        """Publish a report that somebody else made, unless a newer one is published."""
        self._offered = report
        self.loop.wake()

    def start(self, report: Callable[[], NodeReport]) -> None:
        """Publish what `report` returns."""
        self._report = report
        self.loop.start()

    def stop(self, why: str) -> None:
        """Write that the agent leaves, and end."""
        self.loop.stop()
        try:
            self._gpu_node.leave(why)
        except ApiError as e:
            _log.warning("not published", what="leaving", error=str(e))

    def step(self, report: NodeReport) -> None:
        """Publish a report where it is due. Raises ApiError."""
        if self._publication.is_outdated(report):
            return
        self._seen(report)
        now = self._clock()
        if not self._publication.is_due(report, now):
            return
        self._gpu_node.publish(report, self._now())
        self._publication.published(report, now)
        owner = {"apiVersion": API_VERSION, "kind": "GpuNode", "name": report.node, "uid": self._gpu_node.uid}
        self._slices.replace(specs(report), owner)

    def _publish(self) -> None:
        assert self._report is not None
        offered, self._offered = self._offered, None
        report_due, self._report_due = self._report_due, False
        try:
            self.step(self._report() if report_due or offered is None else offered)
        except Exception:
            self._publication.force()
            raise
