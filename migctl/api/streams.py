"""Streaming responses: they end when the server closes; heartbeats detect a dead peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi.responses import StreamingResponse

from migctl.backends.http.wire import HEARTBEAT


def streamed(
    source: AsyncIterator[bytes], closing: asyncio.Event, media_type: str, heartbeat_s: float | None = None
) -> StreamingResponse:
    """The source's pieces as they come; with heartbeat_s, an empty line in every silence of that length."""
    return StreamingResponse(_relay(source, closing, heartbeat_s), media_type=media_type)


async def _relay(
    source: AsyncIterator[bytes], closing: asyncio.Event, heartbeat_s: float | None
) -> AsyncGenerator[bytes, None]:
    closed = asyncio.ensure_future(closing.wait())
    piece = asyncio.ensure_future(anext(source))
    try:
        while not closed.done():
            done, _ = await asyncio.wait((piece, closed), timeout=heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
            if piece in done:
                yield piece.result()
                piece = asyncio.ensure_future(anext(source))
            elif not done:
                yield HEARTBEAT
    except StopAsyncIteration:
        return
    finally:
        piece.cancel()
        closed.cancel()
        await asyncio.gather(piece, closed, return_exceptions=True)
        if isinstance(source, AsyncGenerator):
            await source.aclose()
