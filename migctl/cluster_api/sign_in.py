"""How somebody becomes a caller on a cluster, and until when he is one."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from migctl.access.caller import Caller
from migctl.access.identity.sign_in import Issued
from migctl.backends.kubernetes.meaning.names import user_label
from migctl.backends.protocol import ControlPlaneError, Forbidden, Unauthenticated, Unavailable
from migctl.clock import Clock
from migctl.cluster_api.reviews import HINT, SERVICE_ACCOUNT, KubernetesIdentity, Reviews
from migctl.cluster_api.rights import ClusterRights

UNKNOWN_LIFETIME = timedelta(minutes=15)
"""What is told of a token that does not say itself when it ends."""
MAX_UNANSWERED = 3
"""Times in a row that a stream's caller may not be answered for before his stream ends."""


class ClusterSignIn:
    """Callers by their cluster's tokens. Browsers have no session of their own here."""

    def __init__(self, reviews: Reviews, clock: Clock) -> None:
        self._reviews = reviews
        self._clock = clock

    async def bearer(self, credential: str, origin: str) -> Caller:
        """Who a token of the cluster is. Raises Unauthenticated, Unavailable."""
        return caller_of(await self._reviews.identity(credential), origin)

    async def browser(self, cookie: str, csrf: str | None, origin: str) -> Caller:
        raise Unauthenticated("a browser's session is of one machine; a cluster takes its own tokens", hint=HINT)

    async def exchange(self, name: str, secret: str, address: str) -> Issued:
        """The secret itself, which is such a token. `name` is not looked at: the token says whose it is."""
        who = await self._reviews.identity(secret)
        left = UNKNOWN_LIFETIME if who.expires is None else who.expires - self._clock()
        return Issued(secret, max(0, int(left.total_seconds())), user_label(who.name))


def caller_of(who: KubernetesIdentity, origin: str) -> Caller:
    """The caller that somebody is; his workloads have his name as a label, so it is what a label can be."""
    account = who.name.removeprefix(SERVICE_ACCOUNT)
    through = f"service account {account.replace(':', '/')}" if account != who.name else f"a token of {who.name}"
    return Caller(user_label(who.name), (), through, origin, who.expires)


async def access_ended(reviews: Reviews, who: KubernetesIdentity, rights: ClusterRights) -> ControlPlaneError:
    """Waits until a token counts no more, or what its holder could read was taken from him; why his streams end.

    Asked again and again, as often as answers count. What gives no answer for a while gives none.
    """
    unanswered = 0
    while True:
        await asyncio.sleep(reviews.kept_s)
        try:
            await reviews.identity(who.token)
            now = await rights.renewed()
        except Unavailable as error:
            unanswered += 1
            if unanswered >= MAX_UNANSWERED:
                return error
        except ControlPlaneError as error:
            return error
        else:
            unanswered = 0
            if not now.covers(rights):
                return Forbidden("you may see less than when this stream began", hint="open it again")
