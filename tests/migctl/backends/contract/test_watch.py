"""Watching: order, starting points, expiry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from migctl.backends.protocol import Change, ChangeType, ControlPlane, Expired
from migctl.objects import GpuNode, T
from tests.limits import WAIT_S
from tests.migctl.backends.contract import samples
from tests.migctl.backends.contract.conftest import LOG_LENGTH

pytestmark = pytest.mark.anyio


async def take(watch: AsyncIterator[Change[T]], count: int) -> list[Change[T]]:
    async with asyncio.timeout(WAIT_S):
        return [await anext(watch) for _ in range(count)]


async def test_a_watch_tells_every_change_in_order(control_plane: ControlPlane) -> None:
    start = (await control_plane.list(GpuNode)).version
    first = await control_plane.create(samples.node("a", finalizers=("agent",)))
    patched = await control_plane.patch(first, {"status": {"ready": True}})
    second = await control_plane.create(samples.node("b"))
    await control_plane.delete(patched)
    marked = await control_plane.get(GpuNode, "a")
    deleted = await control_plane.patch(marked, {"meta": {"finalizers": []}})
    await control_plane.delete(second)
    changes = await take(control_plane.watch(GpuNode, start), 6)
    assert changes[:5] == [
        Change(ChangeType.ADDED, first),
        Change(ChangeType.MODIFIED, patched),
        Change(ChangeType.ADDED, second),
        Change(ChangeType.MODIFIED, marked),
        Change(ChangeType.DELETED, deleted),
    ]
    assert (changes[5].type, changes[5].object.meta.uid) == (ChangeType.DELETED, second.meta.uid)


async def test_a_watch_wakes_up_for_what_happens_later(control_plane: ControlPlane) -> None:
    watch = control_plane.watch(GpuNode, (await control_plane.list(GpuNode)).version)
    waiting = asyncio.ensure_future(take(watch, 3))
    created = [await control_plane.create(samples.node(f"n{i}")) for i in range(3)]
    assert [change.object for change in await waiting] == created


async def test_a_watch_tells_of_its_kind_only_and_of_all_projects(control_plane: ControlPlane) -> None:
    start = (await control_plane.list(GpuNode)).version
    await control_plane.create(samples.node("n"))
    a = await control_plane.create(samples.workload("w", "team-a"))
    b = await control_plane.create(samples.workload("w", "team-b"))
    changes = await take(control_plane.watch(type(a), start), 2)
    assert [change.object for change in changes] == [a, b]


async def test_a_watch_goes_on_from_the_version_of_a_list_or_of_an_object(control_plane: ControlPlane) -> None:
    first = await control_plane.create(samples.node("a"))
    second = await control_plane.create(samples.node("b"))
    listing = await control_plane.list(GpuNode)
    third = await control_plane.create(samples.node("c"))
    assert [c.object for c in await take(control_plane.watch(GpuNode, listing.version), 1)] == [third]
    assert [c.object for c in await take(control_plane.watch(GpuNode, first.meta.version), 2)] == [second, third]


async def test_watches_do_not_take_from_each_other(control_plane: ControlPlane) -> None:
    start = (await control_plane.list(GpuNode)).version
    waiting = [asyncio.ensure_future(take(control_plane.watch(GpuNode, start), 2)) for _ in range(3)]
    created = [await control_plane.create(samples.node(name)) for name in ("a", "b")]
    for changes in await asyncio.gather(*waiting):
        assert [change.object for change in changes] == created


async def test_a_watch_that_nobody_iterates_any_more_disturbs_nobody(control_plane: ControlPlane) -> None:
    start = (await control_plane.list(GpuNode)).version
    abandoned = asyncio.ensure_future(take(control_plane.watch(GpuNode, start), 1))
    await asyncio.wait([abandoned], timeout=0)
    abandoned.cancel()
    created = await control_plane.create(samples.node("n"))
    assert [c.object for c in await take(control_plane.watch(GpuNode, start), 1)] == [created]


async def test_a_starting_point_that_is_too_old_has_expired(control_plane: ControlPlane) -> None:
    start = (await control_plane.list(GpuNode)).version
    node = await control_plane.create(samples.node("n"))
    for i in range(2 * LOG_LENGTH + 1):
        node = await control_plane.patch(node, {"status": {"message": str(i)}})
    with pytest.raises(Expired):
        await take(control_plane.watch(GpuNode, start), 1)
    now = (await control_plane.list(GpuNode)).version
    await control_plane.delete(node)
    assert [c.type for c in await take(control_plane.watch(GpuNode, now), 1)] == [ChangeType.DELETED]


@pytest.mark.parametrize("since", ["", "soon", "-1", "99999999999999999999", "²"])
async def test_a_starting_point_that_was_never_given_has_expired(control_plane: ControlPlane, since: str) -> None:
    with pytest.raises(Expired):
        await take(control_plane.watch(GpuNode, since), 1)


async def test_many_writers_are_seen_in_one_order_by_all(control_plane: ControlPlane) -> None:
    start = (await control_plane.list(GpuNode)).version
    watches = [asyncio.ensure_future(take(control_plane.watch(GpuNode, start), 12)) for _ in range(2)]
    await asyncio.gather(*(control_plane.create(samples.node(f"n{i}")) for i in range(12)))
    one, other = await asyncio.gather(*watches)
    assert one == other
    assert {change.object.meta.name for change in one} == {f"n{i}" for i in range(12)}
