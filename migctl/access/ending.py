"""Streams of a caller end when he may not have them any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from migctl.backends.protocol import ControlPlaneError

Item = TypeVar("Item")

Ended = Callable[[], Awaitable[ControlPlaneError]]
"""Waits until a caller's access ends or changes, and says why his streams end."""


async def never_ended() -> ControlPlaneError:
    """Of a caller whose access never ends: the machine's owner."""
    never: asyncio.Future[ControlPlaneError] = asyncio.get_running_loop().create_future()
    return await never


async def while_allowed(source: AsyncIterator[Item], ended: Ended) -> AsyncGenerator[Item, None]:
    """The items of a source as they come. Raises what `ended` says as soon as it says it, and closes the source."""
    over = asyncio.ensure_future(ended())
    item = asyncio.ensure_future(anext(source))
    try:
        while True:
            await asyncio.wait((item, over), return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                raise over.result()
            try:
                came = item.result()
            except StopAsyncIteration:
                return
            yield came
            item = asyncio.ensure_future(anext(source))
    finally:
        item.cancel()
        over.cancel()
        await asyncio.gather(item, over, return_exceptions=True)
        if isinstance(source, AsyncGenerator):
            with contextlib.suppress(RuntimeError):
                await source.aclose()
