"""What stands before the API on TCP."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from migctl.api import server
from migctl.api.tcp import guard
from migctl.api.tcp.listener import bound
from migctl.api.tcp.options import ListenOptions
from migctl.backends.protocol import Conflict, Invalid
from migctl.clock import system_clock
from migctl.objects import Role
from tests.fakes.control_plane import ManualClock
from tests.limits import WAIT_S
from tests.migctl.api.tcp.conftest import OBJECTS, Tcp, served_on_tcp

pytestmark = pytest.mark.anyio


async def raw(tcp: Tcp, sent: bytes) -> bytes:
    """All that comes back before the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp.listener.port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), WAIT_S)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_health_needs_no_token_and_all_else_does(tcp: Tcp) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/api/v1/openapi.json"):
        assert (await tcp.get(path)).status_code == 200, path
    for path in ("/metrics", f"{OBJECTS}/projects", f"{OBJECTS}/workloads/x/log?project=team-a", "/api/v1/me"):
        assert (await tcp.get(path)).status_code == 401, path


async def test_metrics_are_an_admins(tcp: Tcp) -> None:
    assert (await tcp.get("/metrics", await tcp.as_("root", Role.ADMIN))).content == b"figures 1\n"
    assert (await tcp.get("/metrics", await tcp.as_("a", Role.PROJECT_ADMIN, project="team-a"))).status_code == 403


async def test_a_body_is_at_most_a_mebibyte(tcp: Tcp) -> None:
    headers = await tcp.as_("root", Role.ADMIN)
    for size, code in ((guard.MAX_BODY, 400), (guard.MAX_BODY + 1, 413)):
        answer = await tcp.http.post(f"{OBJECTS}/projects", content=b" " * size, headers=headers)
        assert answer.status_code == code

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(guard.MAX_BODY // 65536 + 1):
            yield b" " * 65536

    assert (await tcp.http.post("/api/v1/access-keys", content=pieces(), headers=headers)).status_code == 413


async def test_a_stranger_sends_little(tcp: Tcp) -> None:
    answer = await tcp.http.post("/api/v1/token", content=b" " * (guard.MAX_BODY_OF_STRANGERS + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, 413)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "a b"])
async def test_a_page_of_another_site_cannot_be_pointed_here(tcp: Tcp, host: str) -> None:
    answer = await raw(tcp, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] in (b"421", b"400")


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1", "127.0.0.1:1", "[::1]:8443", "127.9.9.9"])
async def test_a_forwarded_port_works(tcp: Tcp, host: str) -> None:
    assert (await tcp.http.get("/healthz", headers={"Host": host})).status_code == 200


async def test_there_is_no_cors(tcp: Tcp) -> None:
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    answer = await tcp.http.options("/api/v1/me", headers=origin)
    assert answer.status_code == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_headers_are_bounded(tcp: Tcp) -> None:
    answer = await raw(tcp, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2 * server.MAX_HEADERS)
    assert answer == b"" or answer.split()[1] in (b"400", b"431")


async def test_a_client_that_sends_no_request_is_closed(tcp: Tcp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADERS_S", 0.05)
    assert await raw(tcp, b"GET /healthz HTTP/1.1\r\nHost: loc") == b""


async def test_a_body_that_does_not_arrive_is_a_408(tcp: Tcp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.05)
    answer = await raw(tcp, b"POST /api/v1/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
    assert answer.split()[1] == b"408"


async def test_connections_of_an_address_are_capped(tcp: Tcp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS_OF_ADDRESS", 3)
    kept = [await asyncio.open_connection("127.0.0.1", tcp.listener.port) for _ in range(3)]
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert await raw(tcp, request) == b""
    kept.pop()[1].close()
    async with asyncio.timeout(WAIT_S):
        while not await raw(tcp, request):
            await asyncio.sleep(0.001)
    for _, writer in kept:
        writer.close()


async def test_streams_of_a_caller_are_capped(tcp: Tcp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_REQUESTS", 2)
    headers, other = await tcp.as_("a", Role.VIEWER), await tcp.as_("b", Role.VIEWER)
    version = (await tcp.get(f"{OBJECTS}/projects", headers)).json()["version"]
    watch = f"{OBJECTS}/projects?watch=true&since={version}"
    async with (
        tcp.http.stream("GET", watch, headers=headers) as one,
        tcp.http.stream("GET", watch, headers=headers) as two,
    ):
        assert one.status_code == two.status_code == 200
        refused = await tcp.get("/api/v1/me", headers)
        assert (refused.status_code, refused.json()["code"], "retry-after" in refused.headers) == (429, 429, True)
        assert (await tcp.get("/api/v1/me", other)).status_code == 200
    async with asyncio.timeout(WAIT_S):
        while (await tcp.get("/api/v1/me", headers)).status_code != 200:
            await asyncio.sleep(0.001)


async def test_a_request_has_an_id(tcp: Tcp) -> None:
    assert len((await tcp.get("/healthz")).headers["x-request-id"]) == 32
    assert (await tcp.get("/healthz", {"X-Request-ID": "mine-1"})).headers["x-request-id"] == "mine-1"
    assert (await tcp.get("/healthz", {"X-Request-ID": "a b" * 99})).headers["x-request-id"] != "a b" * 99


async def test_beyond_loopback_it_is_tls_with_a_certificate_that_stays(tmp_path: Path) -> None:
    async with served_on_tcp(tmp_path, ListenOptions("0.0.0.0:0")) as tcp:
        first = tcp.listener.fingerprint
        assert (await tcp.get("/healthz")).status_code == 200
        assert tcp.listener.url.startswith("https://")
        with pytest.raises(httpx.HTTPError):
            await httpx.AsyncClient().get(f"http://127.0.0.1:{tcp.listener.port}/healthz")
        with pytest.raises(httpx.ConnectError, match="verify failed"):
            await httpx.AsyncClient().get(f"https://127.0.0.1:{tcp.listener.port}/healthz")
        trusting = ssl.create_default_context(cafile=str(tmp_path / "tls" / "cert.pem"))
        async with httpx.AsyncClient(verify=trusting) as client:
            assert (await client.get(f"https://localhost:{tcp.listener.port}/healthz")).status_code == 200
    again = bound(ListenOptions("0.0.0.0:0"), tmp_path / "tls", system_clock())
    again.socket.close()
    assert again.fingerprint == first
    assert (tmp_path / "tls" / "key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "listen", ["", "8443", "localhost", "a b:1", "127.0.0.1:70000", "[::1:80", "no-such-host.invalid:1"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, listen: str) -> None:
    with pytest.raises(Invalid):
        bound(ListenOptions(listen), tmp_path, ManualClock()())


async def test_a_port_that_is_taken_is_a_clear_error(tcp: Tcp, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="another program listens"):
        bound(ListenOptions(f"127.0.0.1:{tcp.listener.port}"), tmp_path, ManualClock()())


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    file = str(tmp_path / "cert.pem")
    with pytest.raises(Invalid, match="no certificate"):
        bound(ListenOptions("127.0.0.1:0", file, file), tmp_path, ManualClock()())
    with pytest.raises(Invalid, match="belong together"):
        bound(ListenOptions("127.0.0.1:0", file), tmp_path, ManualClock()())


async def test_a_path_with_a_line_break_is_answered_as_any_other_that_does_not_exist(tcp: Tcp) -> None:
    """The mounted application did not get it, and the answer had another form."""
    admin = await tcp.as_("root", Role.ADMIN)
    answer = await tcp.http.request("DELETE", "/api/v1/access-keys/a%0Ab", headers=admin)
    assert answer.status_code == 404
    assert set(answer.json()) == {"code", "message", "details"}


async def test_an_answer_is_sent_at_once(tcp: Tcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and body are two packets: the second waited 40 ms for the first to be acknowledged."""
    accepted: list[int] = []
    made = H11Protocol.connection_made

    def connection_made(self: H11Protocol, transport: asyncio.Transport) -> None:
        connection = transport.get_extra_info("socket")
        accepted.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)

    monkeypatch.setattr(H11Protocol, "connection_made", connection_made)
    async with httpx.AsyncClient(base_url=tcp.listener.url, verify=False) as fresh:
        await fresh.get("/healthz")
    assert accepted == [1]
