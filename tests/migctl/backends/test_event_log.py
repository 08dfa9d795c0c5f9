"""Equal events are one that counts."""

from __future__ import annotations

import pytest

from migctl.backends.event_log import LONGEST_MESSAGE, EventLog
from migctl.objects import Event
from tests.fakes.control_plane import ManualClock, MemoryControlPlane

pytestmark = pytest.mark.anyio


async def test_the_same_thing_about_the_same_object_is_counted() -> None:
    clock = ManualClock()
    store = MemoryControlPlane(clock)
    log = EventLog(store, clock)
    for uid in ("1", "1", "2"):
        clock.advance(10)
        await log.record("Workload/a", "team-a", "PodFailed", "exit code 1", uid=uid, warning=True)
    await log.record("Workload/a", "team-a", "PodFailed", "x" * 5000, uid="1")
    events = sorted((await store.list(Event)).items, key=lambda event: int(event.meta.version))
    assert sorted((event.spec.uid, event.spec.count) for event in events) == [("1", 1), ("1", 2), ("2", 1)]
    counted = next(event for event in events if event.spec.count == 2)
    assert counted.spec.last is not None
    assert counted.meta.created is not None
    assert (counted.spec.last - counted.meta.created).total_seconds() == 10
    assert max(len(event.spec.message) for event in events) == LONGEST_MESSAGE
