"""Deleting, at once and in two steps with finalizers."""

from __future__ import annotations

import asyncio

import pytest

from migctl.backends.protocol import ControlPlane, Invalid, NotFound
from migctl.objects import GpuNode
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio


async def test_without_finalizers_an_object_goes_at_once(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n"))
    await control_plane.delete(created)
    with pytest.raises(NotFound):
        await control_plane.get(GpuNode, "n")
    with pytest.raises(NotFound):
        await control_plane.delete(created)


async def test_with_a_finalizer_it_stays_marked_until_the_last_is_patched_away(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n", finalizers=("agent", "runner")))
    await control_plane.delete(created)
    marked = await control_plane.get(GpuNode, "n")
    assert marked.meta.deleting is not None
    assert marked.meta.version != created.meta.version
    one_left = await control_plane.patch(marked, {"meta": {"finalizers": ["runner"]}})
    assert await control_plane.get(GpuNode, "n") == one_left
    last = await control_plane.patch(one_left, {"meta": {"finalizers": []}, "status": {"message": "bye"}})
    assert last.status.message == "bye"
    with pytest.raises(NotFound):
        await control_plane.get(GpuNode, "n")


async def test_asking_twice_changes_nothing(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n", finalizers=("agent",)))
    await control_plane.delete(created)
    marked = await control_plane.get(GpuNode, "n")
    await control_plane.delete(marked)
    await control_plane.delete(created)
    assert await control_plane.get(GpuNode, "n") == marked


async def test_a_marked_object_takes_patches_but_no_new_finalizer(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n", finalizers=("agent",)))
    await control_plane.delete(created)
    patched = await control_plane.patch(created, {"status": {"message": "stopping"}})
    assert patched.meta.deleting is not None
    with pytest.raises(Invalid, match="finalizers"):
        await control_plane.patch(created, {"meta": {"finalizers": ["agent", "late"]}})
    assert await control_plane.get(GpuNode, "n") == patched


async def test_its_name_is_taken_until_it_is_gone(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n", finalizers=("agent",)))
    await control_plane.delete(created)
    with pytest.raises(Exception, match="exists"):
        await control_plane.create(samples.node("n"))


async def test_finalizers_of_an_object_that_lives_come_and_go_freely(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n", finalizers=("agent",)))
    bare = await control_plane.patch(created, {"meta": {"finalizers": []}})
    assert await control_plane.get(GpuNode, "n") == bare


async def test_of_concurrent_deletes_one_wins(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n"))
    outcomes = await asyncio.gather(*(control_plane.delete(created) for _ in range(5)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert sum(isinstance(outcome, NotFound) for outcome in outcomes) == 4
