"""One client's stream of changes, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Its first event is `ready`; changes are messages; the last one, where the server ends it, says why:

expired   the point to go on from is too old: list again, and go on from this event's id
too-slow  the client did not read what happened: the same
ended     the caller's access ended or changed
closing   the server stops: come again with the last id
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import replace

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from migctl.access.caller import Caller
from migctl.access.visible import VisibleObjects
from migctl.api.v1.service import CallersService, RoutesService
from migctl.api.v1.watching.changes import KEPT, SharedChanges, seen_as, sees
from migctl.api.v1.watching.objects import Watched, WatchedKind
from migctl.backends.http.wire import HEARTBEAT_S, error_status
from migctl.backends.protocol import ChangeType, ControlPlaneError, Expired, RateLimited, Unavailable

MAX_STREAMS = 64
"""Of one caller at a time."""
AT_ONCE = 256
"""Changes that are sent in one piece."""


class Watching:
    """The streams of an application.

    heartbeat_s  their longest silence
    kept         least number of changes that stay for clients which come back
    """

    def __init__(
        self,
        service: RoutesService,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        kept: int = KEPT,
        max_streams: int = MAX_STREAMS,
    ) -> None:
        self.changes = SharedChanges(service, kept)
        self.heartbeat_s = heartbeat_s
        self._max_streams = max_streams
        self._open: Counter[str] = Counter()

    def open(
        self, door: CallersService, kinds: frozenset[WatchedKind], since: str, closing: asyncio.Event
    ) -> EventStreamResponse:
        """A stream for a caller. since: the last id that he got, "" for none. Raises RateLimited."""
        key = _key(door.caller)
        if self._open[key] >= self._max_streams:
            raise RateLimited(f"you have {self._max_streams} streams open", hint="one stream is enough for many kinds")
        self._open[key] += 1

        def closed() -> None:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

        stream = ClientStream(self.changes, door, kinds, closing, self.heartbeat_s)
        return EventStreamResponse(stream.pieces(since), closed)


class EventStreamResponse(StreamingResponse):
    """Sends pieces as they come, and tells when it is over, however that came about."""

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncGenerator[bytes, None], closed: Callable[[], None]) -> None:
        super().__init__(pieces, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._pieces = pieces
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with contextlib.aclosing(self._pieces):
                await super().__call__(scope, receive, send)
        finally:
            self._closed()


class ClientStream:
    """What one client gets. It keeps no queue: a client has a place in the changes that all share."""

    def __init__(
        self,
        changes: SharedChanges,
        door: CallersService,
        kinds: frozenset[WatchedKind],
        closing: asyncio.Event,
        heartbeat_s: float,
    ) -> None:
        self._changes = changes
        self._door = door
        self._kinds = kinds
        self._closing = closing
        self._heartbeat_s = heartbeat_s
        self._wake = asyncio.Event()
        self._at = 0
        self._seen = door.seen
        self._scopes = -1
        self._rights = ""
        self._audience = -1

    async def pieces(self, since: str) -> AsyncGenerator[bytes, None]:
        """The events, from the id `since`, or from now."""
        over = [asyncio.ensure_future(self._door.ended()), asyncio.ensure_future(_set(self._closing))]
        for one in over:
            one.add_done_callback(lambda _: self._wake.set())
        try:
            async with self._changes.followed(self._wake):
                await self._renew()
                self._at = self._changes.end
                if since:
                    self._at = self._number(since)
                yield self._event("ready", {"kinds": sorted(self._kinds)})
                while not self._closing.is_set():
                    async for piece in self._news():
                        yield piece
                    if over[0].done():
                        raise over[0].result()
                    if self._changes.broken:
                        raise Unavailable(
                            "changes are not noticed any more: this is a bug of migctl", hint="its log tells more"
                        )
                    if not await self._woken():
                        yield f": nothing new\nid: {self._id(self._at)}\n\n".encode()
                yield self._event("closing", {"message": "the server stops: come again with this event's id"})
        except Expired as error:
            self._at = self._changes.end
            yield self._event("expired", {"message": str(error), "details": error.hint})
        except TooFarBehind as error:
            self._at = self._changes.end
            yield self._event("too-slow", {"message": str(error), "details": error.hint})
        except ControlPlaneError as error:
            told = {"code": error_status(error), "message": str(error), "details": error.hint}
            yield b"event: ended\ndata: " + json.dumps(told).encode() + b"\n\n"
        finally:
            for one in over:
                one.cancel()
            await asyncio.gather(*over, return_exceptions=True)

    async def _news(self) -> AsyncIterator[bytes]:
        """What happened since the last piece. His rights are asked again first."""
        self._wake.clear()
        before = self._seen
        await self._renew()
        while self._at != self._changes.end:
            if not self._changes.covers(self._at):
                raise TooFarBehind(
                    "so much happened that is not read yet", hint="list again, and go on from this event's id"
                )
            piece = []
            for change in self._changes.after(self._at, AT_ONCE):
                self._at = change.number
                type_ = seen_as(change, before, self._seen) if change.kind in self._kinds else None
                if type_ is not None:
                    frame = self._changes.frame(change, type_, self._door, self._audience)
                    piece += [f"id: {self._id(change.number)}\n".encode(), frame]
            if piece:
                yield b"".join(piece)
        if before.rights_key != self._seen.rights_key:
            for type_, watched in self._otherwise(before):
                yield self._changes.encode(type_, watched, self._door, self._audience)[0]

    def _otherwise(self, before: VisibleObjects) -> Iterator[tuple[ChangeType, Watched]]:
        """What he may see by other rights than before, and what not any more."""
        for kind in self._kinds:
            for watched in tuple(self._changes.objects.there[kind].values()):
                was, now = sees(before, watched), sees(self._seen, watched)
                if was != now:
                    yield (ChangeType.ADDED if now else ChangeType.DELETED), watched

    async def _renew(self) -> None:
        """Ask again what he may see."""
        before, self._seen = self._seen, await self._seen.renewed()
        scopes = self._changes.objects.scopes
        if self._scopes != scopes or before.rights_key != self._seen.rights_key:
            self._scopes, self._rights = scopes, f"{hash(self._seen.rights_key) & 0xFFFFFFFF:x}"
            self._audience = self._changes.audience(self._seen)
        self._door = replace(self._door, seen=self._seen)

    async def _woken(self) -> bool:
        """Whether something happened before it was silent for too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat_s):
                await self._wake.wait()
                return True
        return False

    def _id(self, number: int) -> str:
        """Where to go on: in this process, and by these rights. By others there is more, of which nothing was told."""
        return f"{self._changes.epoch}.{number}.{self._rights}"

    def _number(self, since: str) -> int:
        epoch, _, rest = since.partition(".")
        number, _, rights = rest.partition(".")
        known = epoch == self._changes.epoch and rights == self._rights
        if not (known and number.isascii() and number.isdigit() and self._changes.covers(int(number))):
            raise Expired(
                "what happened since then is not known any more", hint="list again, and go on from this event's id"
            )
        return int(number)

    def _event(self, name: str, data: dict[str, object]) -> bytes:
        return f"event: {name}\nid: {self._id(self._at)}\ndata: {json.dumps(data)}\n\n".encode()


class TooFarBehind(ControlPlaneError):
    """The client does not read what happens."""


def _key(caller: Caller) -> str:
    return f"{caller.user}\0{caller.token}{caller.session}"


async def _set(event: asyncio.Event) -> ControlPlaneError:
    await event.wait()
    return Unavailable("the server stops")
