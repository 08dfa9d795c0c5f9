"""Several asynchronous streams as one, in the order of arrival."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

V = TypeVar("V")


async def interleaved(streams: Sequence[AsyncGenerator[V, None]]) -> AsyncGenerator[V, None]:
    """What several streams give, as it comes, until each has ended. What one of them raises ends all."""
    queue: asyncio.Queue[tuple[V] | Exception | None] = asyncio.Queue()

    async def pour(stream: AsyncGenerator[V, None]) -> None:
        try:
            async with contextlib.aclosing(stream):
                async for value in stream:
                    queue.put_nowait((value,))
        except Exception as error:
            queue.put_nowait(error)
        queue.put_nowait(None)

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
