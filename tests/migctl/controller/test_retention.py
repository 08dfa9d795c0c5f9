"""Events and plans do not fill the store."""

from __future__ import annotations

import asyncio

import pytest

from migctl.controller.retention import Retention
from migctl.objects import Event, EventSpec, Meta
from tests.fakes.control_plane import MemoryControlPlane
from tests.limits import WAIT_S

pytestmark = pytest.mark.anyio


def event(number: int) -> Event:
    return Event(meta=Meta(name=f"event-{number}"), spec=EventSpec(about="Workload/w", reason="Placed", message=""))


async def test_the_newest_stay(control_plane: MemoryControlPlane) -> None:
    for number in range(6):
        await control_plane.create(event(number))
    keeping = asyncio.ensure_future(Retention(control_plane, Event, 4).run())
    async with asyncio.timeout(WAIT_S):
        await until_kept(control_plane, {2, 3, 4, 5})
        await control_plane.delete(await control_plane.get(Event, "event-3"))
        for number in range(6, 40):
            await control_plane.create(event(number))
        await until_kept(control_plane, {36, 37, 38, 39})
    keeping.cancel()


async def until_kept(control_plane: MemoryControlPlane, numbers: set[int]) -> None:
    names = {f"event-{number}" for number in numbers}
    while {kept.meta.name for kept in (await control_plane.list(Event)).items} != names:
        await asyncio.sleep(0)


@pytest.fixture(params=[4096, 2], ids=["watched", "outrun"])
def control_plane(request: pytest.FixtureRequest) -> MemoryControlPlane:
    """With a short log, the writers outrun the watch and it has to list again."""
    return MemoryControlPlane(log_length=request.param)
