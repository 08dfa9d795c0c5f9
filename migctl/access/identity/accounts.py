"""Tokens and access rules as they are stored now."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta

import structlog

from migctl.access.caller import APP, Caller
from migctl.access.identity.sessions import Sessions
from migctl.access.identity.signing_keys import AGAIN
from migctl.backends.mirror import Mirror
from migctl.backends.protocol import ControlPlane, ControlPlaneError, NotFound, Unauthenticated
from migctl.clock import Clock
from migctl.objects import AccessRule, AccessToken, RoleInScope

log = structlog.get_logger()

USED_EVERY = timedelta(minutes=1)
LONGEST_LOOK_S = 60.0
KEPT_EXPIRED = timedelta(days=1)
"""An expired token is refused at once, and shown for so long as expired."""
SWEEP_S = 600.0


class Accounts:
    """What is stored of users and programs. A request is judged by the store itself, never by a cache.

    control_plane  behind admission: nobody is asked
    """

    def __init__(self, control_plane: ControlPlane, sessions: Sessions, clock: Clock) -> None:
        self._control_plane = control_plane
        self._sessions = sessions
        self._clock = clock
        self._changes = Mirror(control_plane, (AccessRule, AccessToken))

    async def run(self) -> None:
        """Follow changes, so that open streams are asked again, until cancelled."""
        await self._changes.run()

    async def sweep(self) -> None:
        """Delete tokens that expired a while ago, until cancelled."""
        while True:
            for token in (await self._control_plane.list(AccessToken)).items:
                if token.spec.expires is not None and self._clock() - token.spec.expires >= KEPT_EXPIRED:
                    with contextlib.suppress(NotFound):
                        await self._control_plane.delete(token)
            await asyncio.sleep(SWEEP_S)

    async def token(self, name: str) -> AccessToken | None:
        """The stored token, None where there is none or it has expired."""
        try:
            token = await self._control_plane.get(AccessToken, name)
        except NotFound:
            return None
        return None if expired(token, self._clock()) else token

    async def roles_of(self, user: str) -> tuple[RoleInScope, ...]:
        """What access rules give a user."""
        rules = (await self._control_plane.list(AccessRule)).items
        return tuple(rule.spec.access for rule in rules if rule.spec.user == user)

    async def roles_with(self, token: AccessToken) -> tuple[RoleInScope, ...]:
        """What who comes with a token has: its own role, and what rules give to it by its name."""
        return (token.spec.access, *await self.roles_of(APP + token.meta.name))

    async def used(self, token: AccessToken) -> None:
        """Remember that it was used, to the minute. Nothing depends on it, so nothing fails by it."""
        last, now = token.status.last_used, self._clock()
        if last is None or now - last >= USED_EVERY:
            try:
                await self._control_plane.patch(token, {"status": {"lastUsed": now.replace(second=0, microsecond=0)}})
            except ControlPlaneError as error:
                log.debug("the last use of a token was not noted", token=token.meta.name, error=str(error))

    async def access_now(self, caller: Caller) -> tuple[RoleInScope, ...] | None:
        """What the caller has now; None: he is signed in no more."""
        if caller.expires is not None and caller.expires <= self._clock():
            return None
        if caller.session and not self._sessions.open(caller.session):
            return None
        if caller.token:
            token = await self._token_of(caller.token)
            return None if token is None else await self.roles_with(token)
        if caller.given is None:
            return caller.access
        return (*caller.given, *await self.roles_of(caller.user))

    async def ended(self, caller: Caller) -> ControlPlaneError:
        """Wait until the caller has not what he had when he came; why a stream of his ends."""
        seen = self._changes.generation
        while (now := await self.access_now(caller)) == caller.access:
            left = LONGEST_LOOK_S if caller.expires is None else (caller.expires - self._clock()).total_seconds()
            seen = await self._next_change(caller, seen, min(max(left, 0.0), LONGEST_LOOK_S))
        if now is None:
            return Unauthenticated("you are signed in no more", hint=AGAIN)
        return Unauthenticated("what you may do has changed", hint="list again, and watch from there")

    async def _next_change(self, caller: Caller, seen: int, timeout_s: float) -> int:
        """Wait for a change of tokens or rules, for the end of the session, or for the time."""
        if not caller.session:
            return await self._changes.wait(seen, timeout_s)
        waits = [
            asyncio.ensure_future(self._changes.wait(seen, timeout_s)),
            asyncio.ensure_future(self._sessions.closed(caller.session)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return self._changes.generation

    async def _token_of(self, key: str) -> AccessToken | None:
        name, _, uid = key.partition("/")
        token = await self.token(name)
        return token if token is not None and token.meta.uid == uid else None


def key_of(token: AccessToken) -> str:
    """What a caller who came with this token carries: name and uid, so that another one of its name is another."""
    return f"{token.meta.name}/{token.meta.uid}"


def expired(token: AccessToken, now: datetime) -> bool:
    """Whether it is valid no more."""
    return token.spec.expires is not None and token.spec.expires <= now
