"""Sessions of browsers: a link that works once, then a cookie. They live as long as the process."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from migctl.access.identity.secrets import digest
from migctl.backends.protocol import Unauthenticated
from migctl.clock import Clock
from migctl.objects import RoleInScope

LINK_LIFETIME = timedelta(minutes=2)
SESSION_LIFETIME = timedelta(hours=12)
MOST_LINKS = 32
MOST_SESSIONS = 256


@dataclass(frozen=True)
class SignedIn:
    """Whom a link or a session is for. given: roles that are his whatever access rules say."""

    user: str
    given: tuple[RoleInScope, ...]
    expires: datetime


@dataclass(frozen=True)
class BrowserSession:
    """A browser that signed in. csrf: what its writes must bring in a header."""

    who: SignedIn
    csrf: str
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class Sessions:
    """Links and sessions by the digest of their secret."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._links: OrderedDict[str, SignedIn] = OrderedDict()
        self._sessions: OrderedDict[str, BrowserSession] = OrderedDict()

    def link(self, user: str, given: tuple[RoleInScope, ...]) -> str:
        """The secret of a link that signs a user in once, within LINK_LIFETIME."""
        secret = secrets.token_urlsafe(32)
        self._links[digest(secret)] = SignedIn(user, given, self._clock() + LINK_LIFETIME)
        while len(self._links) > MOST_LINKS:
            self._links.popitem(last=False)
        return secret

    def redeem(self, link: str) -> tuple[str, BrowserSession]:
        """The cookie and the session of a link, which works no more. Raises Unauthenticated."""
        who = self._links.pop(digest(link), None)
        if who is None or who.expires <= self._clock():
            raise Unauthenticated(
                "this link works no more: it works once, within two minutes", hint="migctl web prints another one"
            )
        cookie = secrets.token_urlsafe(32)
        expires = self._clock() + SESSION_LIFETIME
        session = BrowserSession(SignedIn(who.user, who.given, expires), secrets.token_urlsafe(32))
        self._sessions[digest(cookie)] = session
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)[1].closed.set()
        return cookie, session

    def of(self, cookie: str) -> tuple[str, BrowserSession]:
        """The session of a cookie, and its key. Raises Unauthenticated."""
        key = digest(cookie)
        session = self._sessions.get(key)
        if session is None or not self.open(key):
            raise Unauthenticated("you are signed in no more", hint="migctl web prints a link")
        return key, session

    def open(self, key: str) -> bool:
        """Whether the session of this key goes on."""
        session = self._sessions.get(key)
        if session is not None and session.who.expires <= self._clock():
            self.close(key)
            return False
        return session is not None

    async def closed(self, key: str) -> None:
        """Wait until the session is closed."""
        if (session := self._sessions.get(key)) is not None:
            await session.closed.wait()

    def close(self, key: str) -> None:
        """End a session; its streams end with it."""
        if (session := self._sessions.pop(key, None)) is not None:
            session.closed.set()


def same(given: str, wanted: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing of either."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
