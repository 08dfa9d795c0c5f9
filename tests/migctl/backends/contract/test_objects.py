"""Creating, reading and listing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from migctl.backends.protocol import AlreadyExists, ControlPlane, Invalid, NotFound
from migctl.objects import GpuNode, Meta, Project, Workload
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio


async def test_a_created_object_has_an_identity_and_reads_back_the_same(control_plane: ControlPlane) -> None:
    created = await control_plane.create(samples.workload())
    assert created.meta.uid
    assert created.meta.version
    assert created.meta.created is not None
    assert created.meta.created.tzinfo is not None
    assert created.meta.deleting is None
    assert created.spec == samples.workload().spec
    assert created.meta.labels == samples.workload().meta.labels
    assert await control_plane.get(Workload, "frac05", "team-a") == created


async def test_names_are_unique_per_kind_and_project(control_plane: ControlPlane) -> None:
    first = await control_plane.create(samples.workload("same", "team-a"))
    await control_plane.create(samples.workload("same", "team-b"))
    await control_plane.create(samples.node("same"))
    with pytest.raises(AlreadyExists, match="same"):
        await control_plane.create(samples.workload("same", "team-a"))
    assert await control_plane.get(Workload, "same", "team-a") == first


async def test_a_second_object_of_a_name_is_another_object(control_plane: ControlPlane) -> None:
    first = await control_plane.create(samples.node("n"))
    await control_plane.delete(first)
    second = await control_plane.create(samples.node("n"))
    assert second.meta.uid != first.meta.uid


@pytest.mark.parametrize("kind", [Workload, GpuNode, Project])
async def test_what_is_not_there_is_not_found(control_plane: ControlPlane, kind: type[Workload]) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await control_plane.get(kind, "nobody", "team-a" if kind is Workload else "")


async def test_a_workload_of_another_project_is_not_found(control_plane: ControlPlane) -> None:
    await control_plane.create(samples.workload("w", "team-a"))
    with pytest.raises(NotFound, match="team-b"):
        await control_plane.get(Workload, "w", "team-b")


async def test_a_list_is_of_one_kind_and_of_one_project_or_all(control_plane: ControlPlane) -> None:
    await control_plane.create(samples.node("w"))
    for project, name in (("team-b", "w1"), ("team-a", "w2"), ("team-a", "w1")):
        await control_plane.create(samples.workload(name, project))
    every = await control_plane.list(Workload)
    assert [(w.meta.project, w.meta.name) for w in every.items] == [
        ("team-a", "w1"),
        ("team-a", "w2"),
        ("team-b", "w1"),
    ]
    assert [w.meta.name for w in (await control_plane.list(Workload, "team-b")).items] == ["w1"]
    assert (await control_plane.list(Workload, "team-c")).items == ()
    assert [n.meta.name for n in (await control_plane.list(GpuNode)).items] == ["w"]


async def test_a_list_moves_on_with_every_write(control_plane: ControlPlane) -> None:
    before = await control_plane.list(GpuNode)
    await control_plane.create(samples.node("n"))
    assert (await control_plane.list(GpuNode)).version != before.version


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
async def test_a_name_that_cannot_stand_in_a_path_is_refused(control_plane: ControlPlane, name: str) -> None:
    with pytest.raises(Invalid, match=r"meta\.name"):
        await control_plane.create(samples.node(name))
    assert (await control_plane.list(GpuNode)).items == ()


async def test_a_value_of_the_wrong_type_is_refused(control_plane: ControlPlane) -> None:
    wrong = replace(samples.workload(), spec=replace(samples.workload().spec, parallelism="three"))
    with pytest.raises(Invalid, match="parallelism"):
        await control_plane.create(wrong)
    assert (await control_plane.list(Workload)).items == ()


@pytest.mark.parametrize("text", ["zażółć gęślą jaźń", "训练", "a\nb\t\"c\" \\ 'd'", "🦊", "\0", "\u2028\x85\x1e"])
async def test_any_text_reads_back_as_written(control_plane: ControlPlane, text: str) -> None:
    created = await control_plane.create(samples.node("n"))
    start = created.meta.version
    patched = await control_plane.patch(created, {"meta": {"labels": {"text": text}}, "status": {"message": text}})
    assert (patched.meta.labels, patched.status.message) == ({"text": text}, text)
    assert await control_plane.get(GpuNode, "n") == patched
    assert (await control_plane.list(GpuNode)).items == (patched,)
    assert (await anext(control_plane.watch(GpuNode, start))).object == patched


async def test_text_that_is_no_unicode_is_refused(control_plane: ControlPlane) -> None:
    with pytest.raises(Invalid):
        await control_plane.create(GpuNode(meta=Meta(name="n", labels={"half": "\ud800"})))
    created = await control_plane.create(samples.node("n"))
    with pytest.raises(Invalid):
        await control_plane.patch(created, {"status": {"message": "\ud800"}})
    assert (await control_plane.list(GpuNode)).items == (created,)


@pytest.mark.parametrize("name", ["gpu-1.example.org", "żółw", "a b", "100%", "a%2Fb", "b?c#d&e=f", "watch"])
async def test_any_name_finds_its_object(control_plane: ControlPlane, name: str) -> None:
    created = await control_plane.create(samples.node(name))
    assert await control_plane.get(GpuNode, name) == created
    patched = await control_plane.patch(created, {"status": {"ready": True}})
    await control_plane.delete(patched)
    assert (await control_plane.list(GpuNode)).items == ()
