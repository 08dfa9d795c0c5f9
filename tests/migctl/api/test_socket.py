"""The socket: for its owner alone, never over another file, removed with the server."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app
from migctl.api.server import serving
from migctl.backends.http.unix_socket import listen
from migctl.backends.protocol import AlreadyExists, Invalid
from tests.fakes.control_plane import MemoryControlPlane
from tests.fakes.runtime import FakeRuntime
from tests.migctl.api.conftest import Served

pytestmark = pytest.mark.anyio


async def test_only_its_owner_may_connect(served: Served) -> None:
    assert stat.S_IMODE(served.socket.stat().st_mode) == 0o600


async def test_it_goes_with_the_server(tmp_path: Path) -> None:
    async with serving(create_app(AdmittingControlPlane(MemoryControlPlane()), FakeRuntime()), tmp_path / "s"):
        assert (tmp_path / "s").is_socket()
    assert not (tmp_path / "s").exists()


async def test_a_socket_in_use_is_refused_and_goes_on_serving(served: Served) -> None:
    with pytest.raises(AlreadyExists, match="running already") as refusal:
        async with serving(create_app(AdmittingControlPlane(MemoryControlPlane()), FakeRuntime()), served.socket):
            pytest.fail("a second server opened")
    assert "migctl down" in refusal.value.hint
    assert (await served.remote.whoami()).uid >= 0


def test_a_dead_servers_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    listen(tmp_path / "s").close()


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("a diary")
    with pytest.raises(Invalid, match="not a socket"):
        listen(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "a diary"


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="107"):
        listen(tmp_path / ("ż" * 60))
