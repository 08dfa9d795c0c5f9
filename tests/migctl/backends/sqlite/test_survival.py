"""What is acknowledged survives restarts, kills and full disks; what is not leaves no trace."""

from __future__ import annotations

import asyncio
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migctl.backends.protocol import Change, ChangeType, ControlPlaneError, Expired, Unavailable
from migctl.backends.sqlite.store import SqliteControlPlane
from migctl.objects import GpuNode, Workload
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio


async def replayed(store: SqliteControlPlane, since: str) -> dict[str, GpuNode]:
    """The nodes that a watch from `since` leaves, starting with none."""
    listing = await store.list(GpuNode)
    nodes: dict[str, GpuNode] = {}
    if listing.version == since:
        return nodes
    async for change in store.watch(GpuNode, since):
        if change.type is ChangeType.DELETED:
            del nodes[change.object.meta.name]
        else:
            nodes[change.object.meta.name] = change.object
        if change.object.meta.version == listing.version:
            break
    return nodes


async def test_objects_and_watches_go_on_after_a_restart(tmp_path: Path) -> None:
    store = SqliteControlPlane(tmp_path / "state.db")
    start = (await store.list(Workload)).version
    created = await store.create(samples.workload(finalizers=("runner",)))
    patched = await store.patch(created, {"status": {"message": "zażółć"}})
    await store.close()
    store = SqliteControlPlane(tmp_path / "state.db")
    assert (await store.list(Workload)).items == (patched,)
    watch = store.watch(Workload, start)
    assert [await anext(watch), await anext(watch)] == [
        Change(ChangeType.ADDED, created),
        Change(ChangeType.MODIFIED, patched),
    ]
    again = await store.patch(patched, {"status": {"message": ""}}, fenced=True)
    assert int(again.meta.version) > int(patched.meta.version)
    await store.close()


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = SqliteControlPlane(tmp_path / "state.db")
    await store.create(samples.node("n"))
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    await store.close()


async def test_a_version_of_a_store_that_was_moved_away_has_expired(tmp_path: Path) -> None:
    old = SqliteControlPlane(tmp_path / "old.db", clock=lambda: datetime(2030, 1, 1, tzinfo=UTC))
    since = (await old.create(samples.node("n"))).meta.version
    await old.close()
    new = SqliteControlPlane(tmp_path / "new.db", clock=lambda: datetime(2030, 1, 2, tzinfo=UTC))
    for i in range(3):
        await new.create(samples.node(f"n{i}"))
    with pytest.raises(Expired):
        await anext(new.watch(GpuNode, since))
    await new.close()


async def test_after_close_writes_are_refused_and_watches_end(tmp_path: Path) -> None:
    store = SqliteControlPlane(tmp_path / "state.db")
    watch = store.watch(GpuNode, (await store.list(GpuNode)).version)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.wait([waiting], timeout=0)
    under_way = asyncio.ensure_future(store.create(samples.node("n")))
    await asyncio.wait([under_way], timeout=0)
    await store.close()
    assert (await under_way).meta.name == "n"
    assert (await waiting).object == await under_way
    with pytest.raises(Unavailable):
        await anext(watch)
    with pytest.raises(Unavailable):
        await store.create(samples.node("late"))
    await store.close()


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Writing past `size` bytes fails, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_stops_writes_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteControlPlane(path)
    created = [await store.create(samples.node("first"))]
    start = (await store.list(GpuNode)).version
    with files_no_longer_than(Path(f"{path}-wal").stat().st_size):
        outcomes = await asyncio.gather(
            *(store.create(samples.node(f"n{i}")) for i in range(4)), return_exceptions=True
        )
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes), outcomes
        assert "make room" in str(getattr(outcomes[0], "hint", ""))
        assert (await store.list(GpuNode)).items == tuple(created)
    created.append(await store.create(samples.node("later")))
    assert (await anext(store.watch(GpuNode, start))).object == created[1]
    await store.close()
    store = SqliteControlPlane(path)
    assert (await store.list(GpuNode)).items == tuple(created)
    await store.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from migctl.backends.sqlite.store import SqliteControlPlane
from migctl.objects import GpuNode, Meta

async def main():
    store = SqliteControlPlane(Path(sys.argv[1]))
    async def write(worker):
        for i in range(1000000):
            node = await store.create(GpuNode(meta=Meta(name=f"n{worker}-{i}")))
            await store.patch(node, {"status": {"message": "x" * 2000}})
            sys.stdout.write(node.meta.name + "\\n")
            sys.stdout.flush()
    await asyncio.gather(*(write(worker) for worker in range(4)))

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(60)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += writer.stdout.read().split()
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL
    store = SqliteControlPlane(path)
    nodes = {node.meta.name: node for node in (await store.list(GpuNode)).items}
    assert all(nodes[name].status.message for name in acknowledged)
    assert len(acknowledged) >= 60
    await store.close()


operations = st.lists(
    st.tuples(
        st.sampled_from(["create", "create-held", "patch", "release", "delete", "restart"]), st.sampled_from("abc")
    ),
    max_size=30,
)


@settings(max_examples=30, deadline=None)
@given(operations)
def test_replaying_the_changes_gives_the_objects(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    asyncio.run(_replay(tmp_path_factory.mktemp("store") / "state.db", steps))


async def _replay(path: Path, steps: list[tuple[str, str]]) -> None:
    store = SqliteControlPlane(path)
    start = (await store.list(GpuNode)).version
    for number, (step, name) in enumerate(steps):
        try:
            if step.startswith("create"):
                await store.create(samples.node(name, finalizers=("held",) if step == "create-held" else ()))
            elif step == "patch":
                await store.patch(await store.get(GpuNode, name), {"status": {"message": str(number)}})
            elif step == "release":
                await store.patch(await store.get(GpuNode, name), {"meta": {"finalizers": []}})
            elif step == "delete":
                await store.delete(await store.get(GpuNode, name))
            else:
                await store.close()
                store = SqliteControlPlane(path)
        except ControlPlaneError:
            pass
        listing = await store.list(GpuNode)
        assert await replayed(store, start) == {node.meta.name: node for node in listing.items}
    await store.close()
