"""Patching: merges, versions, fences, identity."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from migctl.backends.protocol import Conflict, ControlPlane, Invalid, NotFound
from migctl.objects import GpuNode, NodeStatus, Phase, Workload, WorkloadStatus
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio


async def test_a_patch_changes_what_it_names_and_the_version(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n"))
    patched = await control_plane.patch(created, {"status": {"ready": True, "message": "up"}})
    assert patched.status == NodeStatus(ready=True, message="up")
    assert patched.spec == created.spec
    assert patched.meta.version != created.meta.version
    assert patched.meta.uid == created.meta.uid
    assert await control_plane.get(GpuNode, "n") == patched


async def test_a_workload_can_be_suspended(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.workload())
    patched = await control_plane.patch(created, {"spec": {"suspended": True}}, fenced=True)
    assert patched.spec == replace(created.spec, suspended=True)
    assert (await control_plane.get(Workload, "frac05", "team-a")).spec == patched.spec


async def test_null_deletes_a_key_and_a_field_goes_back_to_its_default(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.workload())
    changed = await control_plane.patch(created, {"spec": {"ttlAfterFinishS": 5}, "status": {"message": "m"}})
    patched = await control_plane.patch(
        changed, {"meta": {"labels": {"tier": None, "new": "1"}}, "spec": {"ttlAfterFinishS": None}, "status": None}
    )
    assert patched.meta.labels == {"user": "ana", "new": "1"}
    assert patched.spec == created.spec
    assert patched.status == WorkloadStatus()


async def test_lists_are_replaced_whole(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n", finalizers=("a", "b")))
    patched = await control_plane.patch(created, {"meta": {"finalizers": ["c"]}})
    assert patched.meta.finalizers == ("c",)


async def test_values_may_be_enums_times_and_records(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.workload())
    moment = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    patched = await control_plane.patch(created, {"status": {"phase": Phase.FAILED, "finished": moment}})
    assert (patched.status.phase, patched.status.finished) == (Phase.FAILED, moment)
    again = await control_plane.patch(patched, {"status": WorkloadStatus(message="a record is all its fields")})
    assert again.status == WorkloadStatus(message="a record is all its fields")


async def test_a_patch_that_changes_nothing_makes_no_version(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.workload())
    assert await control_plane.patch(created, {}) == created
    assert await control_plane.patch(created, {"spec": {"gpuRequest": {"fraction": 0.5}}, "status": {}}) == created
    assert (await control_plane.list(Workload)).items == (created,)


async def test_an_unfenced_patch_merges_into_what_is_stored(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n"))
    await control_plane.patch(created, {"status": {"ready": True}})
    patched = await control_plane.patch(created, {"status": {"message": "up"}})
    assert (patched.status.ready, patched.status.message) == (True, "up")


async def test_a_fenced_patch_conflicts_once_the_object_changed(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("node-a"))
    changed = await control_plane.patch(created, {"status": {"message": "1"}}, fenced=True)
    with pytest.raises(Conflict, match="node-a"):
        await control_plane.patch(created, {"status": {"message": "2"}}, fenced=True)
    assert await control_plane.get(GpuNode, "node-a") == changed
    assert (await control_plane.patch(changed, {"status": {"message": "3"}}, fenced=True)).status.message == "3"


async def test_an_object_that_is_gone_or_replaced_is_not_found(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.workload())
    await control_plane.delete(created)
    for fenced in (False, True):
        with pytest.raises(NotFound):
            await control_plane.patch(created, {"status": {"pending": 1}}, fenced=fenced)
    successor = await control_plane.create(samples.workload())
    for fenced in (False, True):
        with pytest.raises(NotFound):
            await control_plane.patch(created, {"status": {"pending": 1}}, fenced=fenced)
    with pytest.raises(NotFound):
        await control_plane.delete(created)
    assert await control_plane.get(Workload, "frac05", "team-a") == successor


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"status": {"phase": "Sleeping"}}, "phase"),
        ({"spec": {"gpuRequest": {"fraction": "half"}}}, "fraction"),
        ({"spec": None}, "spec"),
        ({"spec": {"colour": "red"}}, "colour"),
        ({"kind": "Project"}, "kind"),
        ({"meta": {"name": "other"}}, r"meta\.name"),
        ({"meta": {"project": "team-b"}}, r"meta\.project"),
        ({"meta": {"uid": "forged"}}, r"meta\.uid"),
        ({"meta": {"version": "forged"}}, r"meta\.version"),
        ({"meta": {"created": None}}, r"meta\.created"),
        ({"meta": {"deleting": "2030-01-01T00:00:00Z"}}, r"meta\.deleting"),
        ({"status": {"pending": float("nan")}}, "nan"),
    ],
    ids=str,
)
async def test_a_patch_that_breaks_a_rule_changes_nothing(
    control_plane: ControlPlane, changes: dict[str, Any], named: str
) -> None:
    created = await control_plane.create(samples.workload())
    with pytest.raises(Invalid, match=named):
        await control_plane.patch(created, changes)
    assert await control_plane.get(Workload, "frac05", "team-a") == created


async def test_concurrent_patches_of_different_fields_all_count(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.workload())
    await asyncio.gather(*(control_plane.patch(created, {"meta": {"labels": {f"l{i}": "x"}}}) for i in range(20)))
    labels = (await control_plane.get(Workload, "frac05", "team-a")).meta.labels
    assert labels == {**created.meta.labels, **{f"l{i}": "x" for i in range(20)}}


async def test_of_concurrent_fenced_patches_one_wins(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.node("n"))
    outcomes = await asyncio.gather(
        *(control_plane.patch(created, {"status": {"message": str(i)}}, fenced=True) for i in range(10)),
        return_exceptions=True,
    )
    winners = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 9
    assert await control_plane.get(GpuNode, "n") == winners[0]


async def test_counting_with_fences_loses_nothing(control_plane: ControlPlane) -> None:
    await control_plane.create(samples.node("counter"))

    async def increment() -> None:
        for _ in itertools.count():
            read = await control_plane.get(GpuNode, "counter")
            count = int(read.status.message or "0") + 1
            try:
                await control_plane.patch(read, {"status": {"message": str(count)}}, fenced=True)
            except Conflict:
                continue
            return

    await asyncio.gather(*(increment() for _ in range(8)))
    assert (await control_plane.get(GpuNode, "counter")).status == NodeStatus(message="8")
