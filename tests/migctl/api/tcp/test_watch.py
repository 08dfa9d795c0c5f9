"""The stream of changes, over TCP."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest

from migctl.api.tcp.options import ListenOptions
from migctl.api.v1.service import RoutesService
from migctl.api.v1.watching.changes import SharedChanges
from migctl.api.v1.watching.streams import Watching
from migctl.objects import AccessToken, Role, Workload
from tests.limits import WAIT_S
from tests.migctl.api.tcp.conftest import Tcp, served_on_tcp
from tests.migctl.api.tcp.streams import Told, watching
from tests.migctl.api.v1.workloads.bodies import body

pytestmark = pytest.mark.anyio


async def submitted(tcp: Tcp, headers: dict[str, str], name: str) -> str:
    made = await tcp.http.post("/api/v1/workloads/trainings", json=body(name), headers=headers)
    return str(made.raise_for_status().json()["workloadId"])


async def test_it_begins_at_once_and_tells_what_changes_as_the_list_shows_it(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    async with watching(tcp.http, headers) as events:
        ready = await anext(events)
        assert ready.name == "ready"
        assert ready.data == {"kinds": ["nodes", "projects", "workloads"]}
        uid = await submitted(tcp, headers, "job")
        added = await anext(events)
        assert (added.data["type"], added.data["kind"]) == ("ADDED", "workloads")
        await tcp.settled()
        assert added.data["object"] == (await tcp.get(f"/api/v1/workloads/{uid}", headers)).json()


async def test_after_a_break_it_goes_on_where_it_was(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    async with watching(tcp.http, headers, kinds="workloads") as events:
        last = (await anext(events)).id
    for number in range(3):
        await submitted(tcp, headers, f"job-{number}")
    async with watching(tcp.http, headers, last, kinds="workloads") as events:
        assert (await anext(events)).name == "ready"
        names = {(await anext(events)).data["object"]["name"] for _ in range(3)}
    assert names == {"job-0", "job-1", "job-2"}


@pytest.mark.parametrize("since", ["x", "elsewhere.1.2", "..", "1"])
async def test_where_that_is_not_known_it_says_so_and_ends(tcp: Tcp, since: str) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    async with watching(tcp.http, headers, since) as events:
        (last,) = [one async for one in events]
    assert last.name == "expired"
    assert "list again" in last.data["details"]
    async with watching(tcp.http, headers, last.id) as events:
        assert (await anext(events)).name == "ready"


async def test_a_deleted_token_ends_it(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    async with watching(tcp.http, headers) as events:
        await anext(events)
        await tcp.behind.delete(await tcp.behind.get(AccessToken, "ci"))
        (last,) = [one async for one in events]
    assert (last.name, last.data["code"]) == ("ended", 401)


async def test_a_rule_that_is_revoked_ends_it(tcp: Tcp) -> None:
    await tcp.token("ci", Role.VIEWER, project="team-b")
    rule = await tcp.rule("app:ci", Role.RESEARCHER, project="team-a")
    headers = await tcp.bearer("ci")
    async with watching(tcp.http, headers) as events:
        await anext(events)
        await tcp.behind.delete(rule)
        (last,) = [one async for one in events]
    assert last.name == "ended"
    async with watching(tcp.http, await tcp.bearer("ci"), last.id) as events:
        assert (await anext(events)).name == "expired", "by other rights there may be more than changes tell"


async def test_silence_is_broken_by_comments_that_say_where_to_go_on(tcp: Tcp) -> None:
    watches(tcp, heartbeat_s=0.01)
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-b")
    async with asyncio.timeout(WAIT_S), tcp.http.stream("GET", "/api/v1/watch", headers=headers) as answer:
        lines = answer.aiter_lines()
        while not (await anext(lines)).startswith(": "):
            pass
        assert (await anext(lines)).startswith("id: ")


@pytest.mark.parametrize("kinds", ["nothing", "workloads,", "Workloads", "workloads,accesstokens"])
async def test_kinds_that_are_none_are_refused(tcp: Tcp, kinds: str) -> None:
    answer = await tcp.get(f"/api/v1/watch?kinds={kinds}", await tcp.as_("ci", Role.ADMIN))
    assert answer.status_code == 400
    assert answer.json()["complianceIssues"][0]["field"] == "kinds"


async def test_a_caller_has_so_many_streams_and_no_more(tcp: Tcp) -> None:
    watches(tcp, max_streams=2)
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    other = await tcp.as_("other", Role.RESEARCHER, project="team-a")
    async with watching(tcp.http, headers) as one:
        await anext(one)
        async with watching(tcp.http, headers) as two:
            await anext(two)
            answer = await tcp.get("/api/v1/watch", headers)
            assert (answer.status_code, answer.json()["code"]) == (429, 429)
            async with watching(tcp.http, other) as others:
                assert (await anext(others)).name == "ready"
    async with asyncio.timeout(WAIT_S):
        while True:
            async with tcp.http.stream("GET", "/api/v1/watch", headers=headers) as again:
                if again.status_code == 200:
                    break


async def test_who_does_not_read_is_cut_off_and_told_why(tcp: Tcp) -> None:
    changes = watches(tcp, kept=4)
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    await submitted(tcp, headers, "large")
    large = await tcp.behind.get(Workload, "large", "team-a")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", tcp.listener.port))
        sent = f"GET /api/v1/watch HTTP/1.1\r\nHost: localhost\r\nAuthorization: {headers['Authorization']}\r\n\r\n"
        await loop.sock_sendall(slow, sent.encode())
        async with asyncio.timeout(WAIT_S):
            got = await loop.sock_recv(slow, 4096)
            for number in range(80):
                end = changes.end
                await tcp.behind.patch(large, {"spec": {"environment": {"TEXT": str(number) * 100_000}}})
                while changes.end == end:
                    await asyncio.sleep(0.001)
            while b"event: too-slow" not in got:
                piece = await loop.sock_recv(slow, 2**20)
                assert piece, "the end without a reason"
                got = got[-100:] + piece
            while piece := await loop.sock_recv(slow, 2**20):
                got += piece
                if got.endswith(b"0\r\n\r\n"):
                    break


async def test_a_server_that_stops_says_so(tmp_path: Path) -> None:
    async with httpx.AsyncClient(timeout=WAIT_S) as http:
        async with served_on_tcp(tmp_path, ListenOptions("127.0.0.1:0")) as tcp:
            http.base_url = tcp.http.base_url
            headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
            began = asyncio.Event()

            async def all_events() -> list[Told]:
                found = []
                async with watching(http, headers) as events:
                    async for one in events:
                        found.append(one)
                        began.set()
                return found

            reading = asyncio.create_task(all_events())
            await began.wait()
        assert (await reading)[-1].name == "closing"


def watches(tcp: Tcp, **settings: int | float) -> SharedChanges:
    """Set the bounds of streams; the changes that they share."""
    service: RoutesService = tcp.v1.state.service
    tcp.v1.state.watching = watching = Watching(service, **settings)  # type: ignore[arg-type]
    return watching.changes
