"""Who a request is from."""

from __future__ import annotations

from fastapi import Request

from migctl.access.caller import OWNER, Caller
from migctl.api.v1.errors import Unauthenticated
from migctl.backends.http.wire import Peer


async def authenticated(request: Request) -> Caller:
    """The process at the other end of the socket: only the machine's owner can open it. Raises Unauthenticated."""
    peer = getattr(request.state, "peer", None)
    if not isinstance(peer, Peer):
        raise Unauthenticated("a token is needed", hint="Authorization: Bearer TOKEN; POST /api/v1/token gives one")
    return Caller(peer.user, OWNER, through="the socket of migctl up", origin="socket")
