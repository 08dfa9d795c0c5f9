"""Several streams as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

V = TypeVar("V")


async def side_by_side(streams: Sequence[AsyncGenerator[V, None]]) -> AsyncGenerator[V, None]:
    """What several streams give, as it comes, until each has ended. What one raises ends all."""
    queue: asyncio.Queue[tuple[V] | None] = asyncio.Queue()

    async def pour(stream: AsyncGenerator[V, None]) -> None:
        async with contextlib.aclosing(stream):
            async for value in stream:
                queue.put_nowait((value,))
        queue.put_nowait(None)

    async with asyncio.TaskGroup() as tasks:
        pouring = [tasks.create_task(pour(stream)) for stream in streams]
        try:
            going_on = len(streams)
            while going_on:
                given = await queue.get()
                if given is None:
                    going_on -= 1
                else:
                    yield given[0]
        finally:
            for task in pouring:
                task.cancel()
