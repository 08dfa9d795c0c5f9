"""Logs: their last lines, their size on the disk, and an event loop that goes on while somebody reads a long one."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migctl.embedded.kubelet import logs
from tests.limits import WAIT_S
from tests.nodeagent.hostile_files import ATTACKS, replace

pytestmark = pytest.mark.anyio

LIMIT = 1000


def ended() -> bool:
    return False


async def whole(log: Path, tail: int | None = None) -> bytes:
    return b"".join([block async for block in logs.read(log, tail, ended)])


@given(pieces=st.lists(st.sampled_from([b"a", b"\n", b"bb\n"]), max_size=20), count=st.integers(0, 8))
def test_the_last_lines_are_those_of_the_text(
    pieces: list[bytes], count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = b"".join(pieces)
    log = tmp_path_factory.mktemp("log") / "log"
    log.write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "CHUNK", 3)
        assert asyncio.run(whole(log, count)) == b"".join(text.splitlines(keepends=True)[-count:] if count else [])


async def test_looking_for_the_last_lines_of_a_long_log_does_not_stop_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G5: the look into the file waits until the event loop has been seen to go on."""
    log = tmp_path / "log"
    log.write_bytes(b"line\n" * 10)
    looks, goes_on = threading.Event(), threading.Event()
    pread = os.pread

    def slow(descriptor: int, size: int, offset: int) -> bytes:
        looks.set()
        assert goes_on.wait(WAIT_S)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", slow)
    reading = asyncio.create_task(whole(log, 3))
    while not looks.is_set():
        await asyncio.sleep(0.001)
    goes_on.set()
    assert await reading == b"line\n" * 3


def test_a_program_that_writes_on_has_a_log_of_bounded_size(tmp_path: Path) -> None:
    """G8: it holds the file open, as the pods' programs do."""
    log = tmp_path / "log"
    with logs.appending(log) as descriptor:
        for number in range(1000):
            os.write(descriptor, b"%08d\n" % number)
            logs.rotate(log, LIMIT)
            assert log.stat().st_size <= LIMIT
    assert logs.earlier(log).stat().st_size <= LIMIT
    kept = logs.earlier(log).read_bytes()[-900:] + log.read_bytes()
    assert kept.endswith(b"00000998\n00000999\n")
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_rotated_log_is_read_from_before_its_last_beginning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    logs.earlier(log).write_bytes(b"1\n2\n3\n")
    log.write_bytes(b"4\n5\n")
    assert await whole(log) == b"1\n2\n3\n4\n5\n"
    assert await whole(log, 2) == b"4\n5\n"
    assert await whole(log, 4) == b"2\n3\n4\n5\n"
    assert await whole(log, 0) == b""


async def test_a_follower_goes_on_when_the_log_begins_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * LIMIT + b"\n")
    live = True
    following = logs.read(log, 0, lambda: live)
    first = asyncio.ensure_future(anext(following))
    async with asyncio.timeout(WAIT_S):
        while not first.done():
            with log.open("ab") as file:
                file.write(b"more\n")
            await asyncio.sleep(0.01)
        logs.rotate(log, 10)
        with log.open("ab") as file:
            file.write(b"anew\n")
        seen = b""
        while not seen.endswith(b"anew\n"):
            seen += await anext(following)
    live = False
    assert [block async for block in following] == []


@pytest.mark.parametrize("attack", sorted(set(ATTACKS) - {"sparse"}))
async def test_what_a_program_puts_in_its_log_s_place_hangs_nobody(tmp_path: Path, attack: str) -> None:
    log = tmp_path / "log"
    replace(log, attack)
    answer = await asyncio.wait_for(whole(log, 5), WAIT_S)
    assert b"the log cannot be read" in answer or answer == b""
    assert b"secret" not in answer
    if attack != "folder":
        with logs.appending(log) as descriptor:
            os.write(descriptor, b"next attempt\n")
        assert await whole(log) == b"next attempt\n"


async def test_all_pods_logs_and_the_daemon_s_are_kept_bounded(tmp_path: Path) -> None:
    pod = tmp_path / "runs" / "workload" / "0"
    pod.mkdir(parents=True)
    (pod / "log").write_bytes(bytes(100))
    (tmp_path / "up.log").write_bytes(bytes(100))
    keeping = asyncio.create_task(logs.keep_bounded(tmp_path / "runs", [tmp_path / "up.log"], 10))
    async with asyncio.timeout(WAIT_S):
        while (pod / "log").stat().st_size or (tmp_path / "up.log").stat().st_size:
            await asyncio.sleep(0.01)
    keeping.cancel()
    assert logs.earlier(pod / "log").stat().st_size == 10
