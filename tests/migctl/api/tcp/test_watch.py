"""The stream of changes, over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from migctl.objects import AccessToken, Role
from tests.limits import WAIT_S
from tests.migctl.api.tcp.conftest import Tcp
from tests.migctl.api.v1.workloads.bodies import body

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Told:
    """An event of a stream."""

    name: str
    id: str
    data: Any


async def told(answer: httpx.Response) -> AsyncIterator[Told]:
    name, last, data = "message", "", ""
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        match field:
            case "event":
                name = value
            case "id":
                last = value
            case "data":
                data = value
            case "" if data:
                yield Told(name, last, json.loads(data))
                name, data = "message", ""


@contextlib.asynccontextmanager
async def watching(
    tcp: Tcp, headers: dict[str, str], since: str = "", **query: str
) -> AsyncGenerator[AsyncIterator[Told]]:
    more = {"Last-Event-ID": since} if since else {}
    async with (
        asyncio.timeout(WAIT_S),
        tcp.http.stream("GET", "/api/v1/watch", headers={**headers, **more}, params=query) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield told(answer)


async def submitted(tcp: Tcp, headers: dict[str, str], name: str) -> str:
    made = await tcp.http.post("/api/v1/workloads/trainings", json=body(name), headers=headers)
    return str(made.raise_for_status().json()["workloadId"])


async def test_it_begins_at_once_and_tells_what_changes_as_the_list_shows_it(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    async with watching(tcp, headers) as events:
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
    async with watching(tcp, headers, kinds="workloads") as events:
        last = (await anext(events)).id
    for number in range(3):
        await submitted(tcp, headers, f"job-{number}")
    async with watching(tcp, headers, last, kinds="workloads") as events:
        assert (await anext(events)).name == "ready"
        names = {(await anext(events)).data["object"]["name"] for _ in range(3)}
    assert names == {"job-0", "job-1", "job-2"}


@pytest.mark.parametrize("since", ["x", "elsewhere.1.2", "..", "1"])
async def test_where_that_is_not_known_it_says_so_and_ends(tcp: Tcp, since: str) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    async with watching(tcp, headers, since) as events:
        (last,) = [one async for one in events]
    assert last.name == "expired"
    assert "list again" in last.data["details"]
    async with watching(tcp, headers, last.id) as events:
        assert (await anext(events)).name == "ready"


async def test_a_deleted_token_ends_it(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    async with watching(tcp, headers) as events:
        await anext(events)
        await tcp.behind.delete(await tcp.behind.get(AccessToken, "ci"))
        (last,) = [one async for one in events]
    assert (last.name, last.data["code"]) == ("ended", 401)
