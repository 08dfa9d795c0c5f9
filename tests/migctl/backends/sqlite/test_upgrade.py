"""State files of older formats are read, and are files of today's format from then on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migctl.backends.sqlite.store import SqliteControlPlane
from migctl.objects import Workload
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio

TO_FORMAT_1 = """
update objects set body = cast(replace(cast(body as text), '"gpuRequest"', '"ask"') as blob);
update changes set body = cast(replace(cast(body as text), '"gpuRequest"', '"ask"') as blob);
pragma user_version = 1;
"""


async def test_format_1_called_the_gpu_request_ask(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteControlPlane(path)
    await store.create(samples.project("team-a"))
    created = await store.create(samples.workload("train"))
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(TO_FORMAT_1)
    for _ in range(2):
        store = SqliteControlPlane(path)
        assert await store.get(Workload, "train", created.meta.project) == created
        await store.close()
