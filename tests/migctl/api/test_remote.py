"""What the remote control plane offers beyond the contract."""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app
from migctl.api.server import serving
from migctl.backends.http.client import RemoteControlPlane
from migctl.backends.protocol import Conflict, Invalid, NotFound, Unavailable
from migctl.objects import GpuNode, Project
from tests.fakes.control_plane import MemoryControlPlane
from tests.fakes.runtime import FakeRuntime
from tests.limits import WAIT_S
from tests.migctl.api.conftest import Served
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio


async def read(pieces: AsyncIterator[bytes], count: int) -> bytes:
    """The first `count` bytes."""
    text = b""
    async with asyncio.timeout(WAIT_S):
        while len(text) < count:
            text += await anext(pieces)
    return text


async def test_it_knows_who_asks(served: Served) -> None:
    me = await served.remote.whoami()
    assert (me.uid, me.gid, me.pid) == (os.getuid(), os.getgid(), os.getpid())
    assert me.user == pwd.getpwuid(os.getuid()).pw_name


async def test_logs_are_read_whole_or_from_their_end(served: Served) -> None:
    await served.remote.create(samples.workload("w"))
    served.runtime.output["w"] = [b"one\n", b"two\n", "zażółć\n".encode(), b"\xff\x00"]
    whole = b"".join([piece async for piece in served.remote.logs("team-a", "w")])
    assert whole == b"".join(served.runtime.output["w"])
    tail = b"".join([piece async for piece in served.remote.logs("team-a", "w", tail=2)])
    assert tail == b"".join(served.runtime.output["w"][2:])
    assert b"".join([piece async for piece in served.remote.logs("team-a", "w", tail=0)]) == b""


async def test_logs_are_followed_until_the_workload_ends(served: Served) -> None:
    await served.remote.create(samples.workload("w"))
    served.runtime.output["w"] = [b"one\n"]
    pieces = served.remote.logs("team-a", "w", follow=True)
    assert await read(pieces, 4) == b"one\n"
    await served.runtime.more.put(b"two\n")
    assert await read(pieces, 4) == b"two\n"
    await served.runtime.more.put(None)
    assert [piece async for piece in pieces] == []


async def test_who_stops_following_is_forgotten(served: Served) -> None:
    await served.remote.create(samples.workload("w"))
    served.runtime.output["w"] = [b"one\n"]
    following = asyncio.ensure_future(read(served.remote.logs("team-a", "w", follow=True), 1000))
    while not served.runtime.reading:
        await asyncio.wait([following], timeout=0.01)
    following.cancel()
    async with asyncio.timeout(WAIT_S):
        await served.runtime.idle.wait()
    assert served.runtime.reading == 0


@pytest.mark.parametrize("name", ["w", "nobody"])
async def test_no_logs_yet_or_no_workload_is_not_found(served: Served, name: str) -> None:
    await served.remote.create(samples.workload("w"))
    with pytest.raises(NotFound, match=name):
        await anext(served.remote.logs("team-a", name))
    with pytest.raises(NotFound, match=name):
        await served.remote.exec_environment("team-a", name)


async def test_the_environment_of_commands_beside_a_workload(served: Served) -> None:
    await served.remote.create(samples.workload("w"))
    served.runtime.output["w"] = []
    environment = await served.remote.exec_environment("team-a", "w")
    assert environment.environment == {"CUDA_VISIBLE_DEVICES": "MIG-1", "NAME": "zażółć"}
    assert environment.directory == "/srv"
    assert served.runtime.beside == [os.getpid()], "whom the kernel names"


async def test_a_refusal_keeps_its_words(served: Served) -> None:
    with pytest.raises(NotFound, match="team-x") as missing:
        await served.remote.create(samples.workload("w", "team-x"))
    assert missing.value.hint == "projects: team-a"
    with pytest.raises(Invalid) as invalid:
        await served.remote.create(samples.workload("W"))
    assert invalid.value.field == "meta.name"


async def test_a_project_with_workloads_is_not_deleted(served: Served) -> None:
    workload = await served.remote.create(samples.workload("w"))
    project = await served.remote.get(Project, "team-a")
    with pytest.raises(Conflict, match="w"):
        await served.remote.delete(project)
    await served.remote.delete(workload)
    await served.remote.delete(project)


async def test_no_workload_comes_into_a_project_that_goes(served: Served) -> None:
    """A submission and a deletion at once: one of them is refused, whichever comes first."""
    for i in range(10):
        project = await served.remote.create(samples.project(f"p{i}"))
        outcomes = await asyncio.gather(
            served.remote.create(samples.workload("w", f"p{i}")), served.remote.delete(project), return_exceptions=True
        )
        assert sum(isinstance(outcome, BaseException) for outcome in outcomes) == 1, outcomes


async def test_suspending_is_a_patch_and_changing_the_ask_is_refused(served: Served) -> None:
    workload = await served.remote.create(samples.workload("w"))
    assert (await served.remote.patch(workload, {"spec": {"suspended": True}})).spec.suspended
    with pytest.raises(Invalid, match=r"spec\.gpuRequest"):
        await served.remote.patch(workload, {"spec": {"gpuRequest": {"fraction": 0.9}}})


async def test_two_hundred_at_once(served: Served) -> None:
    names = [f"w{i}" for i in range(200)]
    await asyncio.gather(*(served.remote.create(samples.workload(name)) for name in names))
    assert {w.meta.name for w in (await served.remote.list(type(samples.workload()))).items} == set(names)


async def test_without_a_server_it_says_how_to_start_one(tmp_path: Path) -> None:
    remote = RemoteControlPlane(tmp_path / "s")
    with pytest.raises(Unavailable, match="not running") as refusal:
        await remote.list(GpuNode)
    assert "migctl up" in refusal.value.hint
    with pytest.raises(Unavailable):
        await anext(remote.watch(GpuNode, "1"))


async def test_a_server_that_went_is_unavailable_and_one_that_came_back_is_found(tmp_path: Path) -> None:
    behind = MemoryControlPlane()
    remote = RemoteControlPlane(tmp_path / "s")
    async with serving(create_app(AdmittingControlPlane(behind), FakeRuntime()), tmp_path / "s"):
        since = (await remote.create(samples.node("n"))).meta.version
        watch = remote.watch(GpuNode, since)
        await remote.create(samples.node("later"))
        await anext(watch)
        waiting = asyncio.ensure_future(anext(watch))
    with pytest.raises(Unavailable, match="closed"):
        await waiting
    with pytest.raises(Unavailable, match="not running"):
        await remote.list(GpuNode)
    async with serving(create_app(AdmittingControlPlane(behind), FakeRuntime()), tmp_path / "s"):
        assert (await remote.get(GpuNode, "n")).meta.version == since


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-OpenSSH\r\n"], ids=str)
async def test_a_peer_that_is_no_migctl_is_unavailable(tmp_path: Path, answer: bytes) -> None:
    async def impostor(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    remote = RemoteControlPlane(tmp_path / "s")
    async with await asyncio.start_unix_server(impostor, tmp_path / "s"):
        with pytest.raises(Unavailable, match="stopped answering"):
            await remote.list(GpuNode)


def test_a_path_that_is_too_long_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="107") as refusal:
        RemoteControlPlane(tmp_path / ("d" * 100) / "s")
    assert "shorter" in refusal.value.hint


def test_importing_it_is_cheap() -> None:
    heavy = "{'httpx', 'click', 'fastapi', 'uvicorn', 'ssl', 'ortools', 'sqlite3', 'pydantic'}"
    code = f"import sys, migctl.backends.http.client; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
