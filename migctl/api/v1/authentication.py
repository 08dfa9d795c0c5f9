"""Who a request is from."""

from __future__ import annotations

from fastapi import Request

from migctl.access.caller import OWNER, Caller
from migctl.backends.http.wire import Peer
from migctl.backends.protocol import ControlPlaneError, Unauthenticated


async def authenticated(request: Request) -> Caller:
    """The process at the other end of the socket, which only the machine's owner can open, or who signed in on TCP.

    Raises Unauthenticated, and what was wrong with the credential.
    """
    peer = getattr(request.state, "peer", None)
    if isinstance(peer, Peer):
        return Caller(peer.user, OWNER, through="the socket of migctl up", origin="socket")
    caller, refused = getattr(request.state, "caller", None), getattr(request.state, "refused", None)
    if isinstance(refused, ControlPlaneError):
        raise refused
    if not isinstance(caller, Caller):
        raise Unauthenticated("a token is needed", hint="Authorization: Bearer TOKEN; POST /api/v1/token gives one")
    return caller
