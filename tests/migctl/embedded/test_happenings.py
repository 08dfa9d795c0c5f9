"""A happening counts once, at whatever write the daemon was killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import pytest

from migctl.backends.event_log import EventLog
from migctl.backends.mirror import Mirror
from migctl.embedded.happenings import Happenings
from migctl.objects import Event, GpuRequest, Meta, Phase, T, Workload, WorkloadSpec, WorkloadStatus, WorkloadType
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.limits import WAIT_S

pytestmark = pytest.mark.anyio


class Killed(BaseException):
    """What a process that is killed does next: nothing."""


class Dying(MemoryControlPlane):
    """Kills who writes: after so many writes (`after`), or before the next one."""

    left: int | None = None

    async def create(self, obj: T) -> T:
        self._dies()
        return await super().create(obj)

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        self._dies()
        return await super().patch(obj, changes, fenced=fenced)

    def _dies(self) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1


async def life(store: Dying, clock: ManualClock, writes: int | None) -> None:
    """One life of the part that tells: it is killed at its write after `writes`, or once it has nothing to tell."""
    mirror = Mirror(store)
    await mirror.read()
    store.left = writes
    task = asyncio.create_task(Happenings(mirror, EventLog(store, clock), clock).run())
    for _ in range(100):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(Killed, asyncio.CancelledError):
        await asyncio.wait_for(task, WAIT_S)
    store.left = None


@pytest.mark.parametrize("writes", range(4))
async def test_ends_are_counted_once_whenever_the_daemon_is_killed(writes: int) -> None:
    clock = ManualClock()
    store = Dying(clock)
    spec = WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=GpuRequest())
    for name, phase in (("good", Phase.COMPLETED), ("bad", Phase.FAILED), ("worse", Phase.FAILED)):
        status = WorkloadStatus(phase=phase, reason="", message="exit code 1", finished=clock())
        await store.create(Workload(meta=Meta(name=name, project="team-a"), spec=spec, status=status))
    await life(store, clock, writes)
    assert len((await store.list(Event)).items) == min(writes, 3)
    for _ in range(2):
        clock.advance(1)
        await life(store, clock, None)
    events = (await store.list(Event)).items
    assert sorted((event.spec.about, event.spec.reason, event.spec.count) for event in events) == [
        ("Workload/bad", "Failed", 1),
        ("Workload/good", "Completed", 1),
        ("Workload/worse", "Failed", 1),
    ]


async def test_another_end_of_the_same_workload_counts() -> None:
    clock = ManualClock()
    store = MemoryControlPlane(clock)
    log = EventLog(store, clock)
    for moment in ("1", "1", "2", "2"):
        await log.record("Workload/a", "team-a", "Failed", "exit code 1", uid="1", happening=moment)
    (event,) = (await store.list(Event)).items
    assert event.spec.count == 2
