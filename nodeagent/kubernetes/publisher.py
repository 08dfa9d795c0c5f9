"""Publishes what the agent sees: at once when it changed something, soon when the hardware did, and as a heartbeat.

Looking costs more than anything else an idle agent does, so the looks of its upkeep are published too, and the
publisher looks by itself only where there is news or none of those came.
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
from nodeagent.nvml import NvmlError

LOOK_S = 10.0
HEARTBEAT_S = 20.0

_NEWS = frozenset(EventKind) - {EventKind.REFUSED, EventKind.OVERSTEPPED}

_log = structlog.get_logger("nodeagent")


class Publisher:
    """A thread of its own from `start` to `stop`. `observer`, `soon` and `offer` wake it; `seen` gets every report."""

    def __init__(
        self,
        gpu_node: GpuNodeWriter,
        slices: SliceStore,
        seen: Callable[[NodeReport], None] = lambda report: None,
        *,
        every_s: float = LOOK_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._gpu_node, self._slices, self._seen = gpu_node, slices, seen
        self._every_s, self._clock, self._now = every_s, clock, now
        self._beat_at = 0.0
        self._urgent = True
        self._look = False
        self._trouble = ""
        self._offered: NodeReport | None = None
        self._newest = 0
        self._news = threading.Event()
        self._over = False
        self._thread: threading.Thread | None = None

    def observer(self, event: AgentEvent) -> None:
        if event.what in _NEWS:
            self._look = True
            self._news.set()

    def soon(self) -> None:
        """Look now, and write the heartbeat even if nothing changed."""
        self._urgent = self._look = True
        self._news.set()

    def offer(self, report: NodeReport) -> None:
        """Publish a report that somebody else made, unless a newer one is out."""
        self._offered = report
        self._news.set()

    def start(self, report: Callable[[], NodeReport]) -> None:
        """Publish what `report` gives."""
        self._thread = threading.Thread(target=self._run, args=(report,), name="publisher", daemon=True)
        self._thread.start()

    def stop(self, why: str) -> None:
        """Say that the agent leaves, and end."""
        self._over = True
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._gpu_node.leave(why)
        except ApiError as e:
            _log.warning("not published", what="leaving", error=str(e))

    def works(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def step(self, report: NodeReport) -> None:
        """Publish what is news. Raises ApiError."""
        if report.generation < self._newest:
            return
        self._newest = report.generation
        urgent, self._urgent = self._urgent, False
        self._seen(report)
        now = self._clock()
        if not urgent and now < self._beat_at and not self._gpu_node.differs(report):
            return
        self._gpu_node.publish(report, self._now())
        self._beat_at = now + HEARTBEAT_S
        owner = {"apiVersion": API_VERSION, "kind": "GpuNode", "name": report.node, "uid": self._gpu_node.uid}
        self._slices.keep(specs(report), owner)

    def _run(self, report: Callable[[], NodeReport]) -> None:
        while not self._over:
            self._news.clear()
            offered, self._offered = self._offered, None
            look, self._look = self._look, False
            try:
                self.step(report() if look or offered is None else offered)
                self._note("")
            except (ApiError, NvmlError) as e:
                self._urgent = True
                self._note(str(e))
            self._news.wait(self._every_s)

    def _note(self, trouble: str) -> None:
        """Say once that publishing fails, and once that it works again."""
        if trouble and trouble != self._trouble:
            _log.warning("not published", error=trouble)
        elif self._trouble and not trouble:
            _log.info("published again")
        self._trouble = trouble
