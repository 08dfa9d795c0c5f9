"""What several pods wrote as one stream: whole lines after their pod's name, as they come or pod after pod."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TypeVar

V = TypeVar("V")

LONGEST_LINE = 64 * 1024
"""What is longer goes on in a line of its own, so that no pod makes us keep all that it writes."""
MOST_WAITING = 256


async def joined(pods: Mapping[str, AsyncGenerator[bytes, None]], follow: bool) -> AsyncGenerator[bytes, None]:
    """The output of pods by name, in pieces. follow: as it comes; a single pod's is left as it is."""
    streams = list(pods.values()) if len(pods) == 1 else [_prefixed(*named) for named in pods.items()]
    async with contextlib.aclosing(interleaved(streams) if follow else _one_by_one(streams)) as pieces:
        async for piece in pieces:
            yield piece


async def _prefixed(name: str, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Whole lines, each after the pod's name."""
    start, rest = f"[{name}] ".encode(), b""
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield start + line + b"\n"
            if len(rest) > LONGEST_LINE:
                yield start + rest + b"\n"
                rest = b""
    if rest:
        yield start + rest + b"\n"


async def _one_by_one(streams: Sequence[AsyncGenerator[bytes, None]]) -> AsyncGenerator[bytes, None]:
    for stream in streams:
        async with contextlib.aclosing(stream):
            async for line in stream:
                yield line


async def interleaved(streams: Sequence[AsyncGenerator[V, None]]) -> AsyncGenerator[V, None]:
    """What several streams give, as it comes, until each has ended. What one of them raises ends all."""
    queue: asyncio.Queue[tuple[V] | Exception | None] = asyncio.Queue(MOST_WAITING)

    async def pour(stream: AsyncGenerator[V, None]) -> None:
        try:
            async with contextlib.aclosing(stream):
                async for value in stream:
                    await queue.put((value,))
        except Exception as error:
            await queue.put(error)
        await queue.put(None)

    pouring = [asyncio.create_task(pour(stream)) for stream in streams]
    try:
        going_on = len(streams)
        while going_on:
            given = await queue.get()
            if isinstance(given, Exception):
                raise given
            if given is None:
                going_on -= 1
            else:
                yield given[0]
    finally:
        for task in pouring:
            task.cancel()
        await asyncio.gather(*pouring, return_exceptions=True)
