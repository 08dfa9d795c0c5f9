"""Publishes the agent's reports as GpuNode and ResourceSlices: after changes, and as a heartbeat.

Making a report costs more than anything else that an idle agent does. So the reports of its periodic checks are
published too, and the publisher makes one itself only after an event, or where none of those came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.wire import API_VERSION
from nodeagent.gpu.events import AgentEvent, EventKind
from nodeagent.kubernetes.client import ApiError
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from nodeagent.kubernetes.slice_store import SliceStore
from nodeagent.kubernetes.slices import specs
from nodeagent.node_status.publication import Publication
from nodeagent.nvml import NvmlError

REPORT_S = 10.0
HEARTBEAT_S = 20.0

_CHANGES = frozenset(EventKind) - {EventKind.REFUSED, EventKind.OVERSTEPPED}

_log = structlog.get_logger("nodeagent")


class Publisher:
    """A thread of its own from `start` to `stop`. `observer`, `soon` and `offer` wake it.

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
        self._every_s, self._clock, self._now = every_s, clock, now
        self._publication = Publication(HEARTBEAT_S)
        self._report_due = False
        self._error = ""
        self._offered: NodeReport | None = None
        self._woken = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def observer(self, event: AgentEvent) -> None:
        """Publish soon what an event changed."""
        if event.kind in _CHANGES:
            self._report_due = True
            self._woken.set()

    def soon(self) -> None:
        """Make a report now, and write the heartbeat even if nothing changed."""
        self._publication.force()
        self._report_due = True
        self._woken.set()

    def offer(self, report: NodeReport) -> None:
        """Publish a report that somebody else made, unless a newer one is published."""
        self._offered = report
        self._woken.set()

    def start(self, report: Callable[[], NodeReport]) -> None:
        """Publish what `report` returns."""
        self._thread = threading.Thread(target=self._run, args=(report,), name="publisher", daemon=True)
        self._thread.start()

    def stop(self, why: str) -> None:
        """Write that the agent leaves, and end."""
        self._stopping = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._gpu_node.leave(why)
        except ApiError as e:
            _log.warning("not published", what="leaving", error=str(e))

    def is_running(self) -> bool:
        """Whether the thread works."""
        return self._thread is not None and self._thread.is_alive()

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

    def _run(self, report: Callable[[], NodeReport]) -> None:
        while not self._stopping:
            self._woken.clear()
            offered, self._offered = self._offered, None
            report_due, self._report_due = self._report_due, False
            try:
                self.step(report() if report_due or offered is None else offered)
                self._note("")
            except (ApiError, NvmlError) as e:
                self._publication.force()
                self._note(str(e))
            self._woken.wait(self._every_s)

    def _note(self, error: str) -> None:
        """Log once that publishing fails, and once that it works again."""
        if error and error != self._error:
            _log.warning("not published", error=error)
        elif self._error and not error:
            _log.info("published again")
        self._error = error
