"""The control plane as the caller of a request may use it: of the machine's owner, and of everybody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fastapi import Request

from migctl.access.audit.audited import AuditedControlPlane
from migctl.access.audit.trail import AuditEntry, AuditTrail
from migctl.access.caller import OWNER, Caller, DepartmentOf
from migctl.access.ending import Ended, never_ended
from migctl.backends.http.wire import error_status
from migctl.backends.protocol import ControlPlane, ControlPlaneError

Door: TypeAlias = Callable[[Request], Awaitable[ControlPlane]]
"""The control plane as the caller of a request may use it. Raises Unauthenticated."""

Ending: TypeAlias = Callable[[Request], Awaitable[Ended]]
"""What ends the streams of a request's caller."""


def owners_door(control_plane: ControlPlane, trail: AuditTrail | None, department_of: DepartmentOf) -> Door:
    """Of the socket: who can open it is the machine's owner, and may do everything."""

    async def door(request: Request) -> ControlPlane:
        if trail is None:
            return control_plane
        caller = Caller(request.state.peer.user, OWNER, "the socket of migctl up", "socket")
        return AuditedControlPlane(control_plane, trail, caller, department_of, request_id(request))

    return door


async def owners_streams(_: Request) -> Ended:
    """The owner's go on."""
    return never_ended


def request_id(request: Request) -> str:
    """The request's id, "" where it has none."""
    return str(getattr(request.state, "request_id", ""))


def tell(
    trail: AuditTrail | None,
    request: Request,
    user: str,
    verb: str,
    error: ControlPlaneError | None = None,
    name: str = "",
) -> None:
    """Record an attempt to sign in or out."""
    if trail is not None:
        trail.record(
            AuditEntry(
                time=trail.now(),
                user=user,
                origin=str(getattr(request.state, "origin", "socket")),
                verb=verb,
                kind="session",
                name=name,
                status=200 if error is None else error_status(error),
                message="" if error is None else str(error),
                request=request_id(request),
            )
        )
