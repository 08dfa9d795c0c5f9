"""A client of GET /watch, as the standard of server-sent events has it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.limits import WAIT_S


@dataclass(frozen=True)
class Told:
    """An event of a stream. id: the last one that came, with it or before."""

    name: str
    id: str
    data: Any


async def told(answer: httpx.Response) -> AsyncIterator[Told]:
    """The events of an open stream."""
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
            case "" if data and not line:
                yield Told(name, last, json.loads(data))
                name, data = "message", ""


@contextlib.asynccontextmanager
async def watching(
    http: httpx.AsyncClient, headers: dict[str, str], since: str = "", path: str = "/api/v1/watch", **query: str
) -> AsyncGenerator[AsyncIterator[Told]]:
    """The events of a stream, from an id on; it is closed with the context."""
    more = {"Last-Event-ID": since} if since else {}
    async with (
        asyncio.timeout(WAIT_S),
        http.stream("GET", path, headers={**headers, **more}, params=query) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield told(answer)
