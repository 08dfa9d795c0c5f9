"""A state file that cannot be trusted is refused with a way out, and left as it is."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from migctl.backends.sqlite.database import StoreInUse, StoreUnusable
from migctl.backends.sqlite.store import SqliteControlPlane
from migctl.objects import GpuNode
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio


@pytest.fixture
async def state_file(tmp_path: Path) -> Path:
    """A store with a hundred nodes, closed."""
    path = tmp_path / "state.db"
    store = SqliteControlPlane(path)
    for i in range(100):
        await store.create(samples.node(f"node-{i}"))
    await store.close()
    return path


def sql(statement: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement)

    return run


def garbage_in_the_middle(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 8192))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another_format(path: Path) -> None:
    path.write_text("this is a diary, not a database\n" * 200)


def another_program(path: Path) -> None:
    path.unlink()
    sql("create table recipes (name text)")(path)


DAMAGES = {
    "not a database": (another_format, "damaged"),
    "garbage in the middle": (garbage_in_the_middle, "damaged"),
    "cut short": (cut_short, "damaged"),
    "an unreadable object": (sql("update objects set body = '{'"), "damaged"),
    "an unknown kind": (sql("update objects set kind = 'recipes'"), "damaged"),
    "no revision": (sql("delete from counter"), "damaged"),
    "a missing table": (sql("drop table changes"), "damaged"),
    "another program's": (another_program, "another program"),
    "a newer format": (sql("pragma user_version = 99"), "a newer migctl .format 99"),
    "an older format": (sql("pragma user_version = 0"), "an older migctl .format 0"),
}


@pytest.mark.parametrize(("damage", "text"), DAMAGES.values(), ids=DAMAGES.keys())
async def test_it_is_refused_and_untouched(state_file: Path, damage: Callable[[Path], None], text: str) -> None:
    damage(state_file)
    before = state_file.read_bytes()
    with pytest.raises(StoreUnusable, match=text) as refused:
        SqliteControlPlane(state_file)
    assert str(state_file) in str(refused.value)
    assert state_file.read_bytes() == before
    assert "mv" in refused.value.hint


async def test_the_hint_gives_a_new_store_and_keeps_the_old_file(state_file: Path) -> None:
    another_format(state_file)
    with pytest.raises(StoreUnusable) as refused:
        SqliteControlPlane(state_file)
    command = refused.value.hint.split("`")[1]
    subprocess.run(command, shell=True, check=True)
    store = SqliteControlPlane(state_file)
    assert (await store.list(GpuNode)).items == ()
    await store.close()
    assert "diary" in (state_file.parent / "aside" / "state.db").read_text()


async def test_a_journal_without_its_file_is_not_thrown_away(tmp_path: Path) -> None:
    journal = tmp_path / "state.db-wal"
    journal.write_bytes(b"the last hour of work")
    with pytest.raises(StoreUnusable, match="journal"):
        SqliteControlPlane(tmp_path / "state.db")
    assert journal.read_bytes() == b"the last hour of work"


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="nowhere") as refused:
        SqliteControlPlane(tmp_path / "nowhere" / "state.db")
    assert f"{tmp_path / 'nowhere'} exists" in refused.value.hint


async def test_one_process_owns_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    owner = SqliteControlPlane(path)
    with pytest.raises(StoreInUse, match=r"in use by process \d+"):
        SqliteControlPlane(path)
    await owner.close()
    await SqliteControlPlane(path).close()


OWNER = """
import sys
from pathlib import Path
from migctl.backends.sqlite.store import SqliteControlPlane
store = SqliteControlPlane(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


async def test_a_killed_owner_leaves_the_file_free(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        with pytest.raises(StoreInUse, match=f"process {owner.pid}"):
            SqliteControlPlane(path)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        await SqliteControlPlane(path).close()
