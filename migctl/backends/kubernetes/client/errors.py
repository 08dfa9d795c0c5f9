"""The protocol's error for each refusal of an API server.

A refusal is a `Status` object (meta/v1). Its reason decides; where a proxy in between answered without one,
the HTTP code does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from migctl.backends.protocol import (
    AlreadyExists,
    Conflict,
    ControlPlaneError,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
)
from nodeagent.contract.wire import API_GROUP

NOBODY = "system:anonymous"
POLICY = " denied request: "
NOT_ALLOWED = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<namespace>[^"]+)")?'
)
NO_SUCH_KIND = "the server could not find the requested resource"


class Cause(msgspec.Struct, frozen=True):
    """An entry of details.causes."""

    reason: str = ""
    message: str = ""
    field: str = ""


class Details(msgspec.Struct, frozen=True, rename="camel"):
    """`details`. retry_after_seconds is 0 where the server names none."""

    name: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: float = 0.0


class ApiStatus(msgspec.Struct, frozen=True):
    """The `Status` object (meta/v1) of a refused request."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: Details | None = None


class TooManyRequests(Unavailable):
    """429: not done, and not to be tried again for `after_s` seconds."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class BudgetExhausted(Unavailable):
    """An eviction that a disruption budget does not allow now."""


BY_REASON: Mapping[str, type[ControlPlaneError]] = {
    "NotFound": NotFound,
    "AlreadyExists": AlreadyExists,
    "Conflict": Conflict,
    "Expired": Expired,
    "Gone": Expired,
    "Invalid": Invalid,
    "BadRequest": Invalid,
    "Forbidden": Forbidden,
    "Unauthorized": Forbidden,
}
BY_CODE: Mapping[int, type[ControlPlaneError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
}

_decoder = msgspec.json.Decoder(ApiStatus)


def refusal(code: int, body: bytes, retry_after: str | None = None) -> ControlPlaneError:
    """The error that an answer other than 2xx stands for."""
    status = _status(body)
    message = status.message or f"the API server answered {code}"
    if code == 429:
        return _too_many(status, message, retry_after)
    kind = BY_REASON.get(status.reason) or BY_CODE.get(code)
    if kind is None:
        return Unavailable(message, hint="the API server is not well; migctl goes on as soon as it is")
    if kind is Forbidden:
        return _forbidden(code, message)
    if kind is NotFound and NO_SUCH_KIND in message:
        return NotFound(message, hint="migctl is not installed in this cluster: make deploy, or helm install")
    if kind is Invalid:
        return Invalid(_denied(message), field=_field(status))
    return kind(message)


def _forbidden(code: int, message: str) -> Forbidden:
    """Who may not do what, and who could change that."""
    match = NOT_ALLOWED.search(message)
    if code == 401 or (match is not None and match["user"] == NOBODY):
        return Forbidden(
            "the cluster does not know you: your token or certificate is missing, wrong or too old",
            hint="log in to the cluster again, or choose another --context",
        )
    if POLICY in message:
        return Forbidden(_denied(message))
    if match is None:
        return Forbidden(message, hint="ask an admin of the cluster for the permission, or choose another --context")
    who, verb, what, namespace = match["user"], match["verb"], match["resource"], match["namespace"]
    reads = verb in ("get", "list", "watch")
    if namespace:
        role = "view" if reads else "edit"
        grant = f"kubectl create rolebinding NAME -n {namespace} --clusterrole={role} --user={who}"
        return Forbidden(
            f"{who} may not {verb} {what} in project {namespace}",
            hint=f"an admin of the project can allow it: {grant}",
        )
    if match["group"] != API_GROUP and what != "nodes":
        return Forbidden(f"{who} may not {verb} {what} of the whole cluster", hint="name a project with -p")
    role = "migctl-overview" if reads and what != "nodes" else "migctl-admin"
    grant = f"kubectl create clusterrolebinding NAME --clusterrole={role} --user={who}"
    return Forbidden(
        f"{who} may not {verb} {what}, which belong to the whole cluster",
        hint=f"an admin of the cluster can allow it: {grant}",
    )


def _status(body: bytes) -> ApiStatus:
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError:
        return ApiStatus(message=body[:200].decode(errors="replace").strip())


def _too_many(status: ApiStatus, message: str, retry_after: str | None) -> ControlPlaneError:
    causes = status.details.causes if status.details else ()
    for cause in causes:
        if cause.reason == "DisruptionBudget":
            return BudgetExhausted(cause.message or message)
    after = status.details.retry_after_seconds if status.details else 0.0
    if not after and retry_after is not None and retry_after.isdigit():
        after = float(retry_after)
    return TooManyRequests(message, after or 1.0)


def _denied(message: str) -> str:
    """A policy's own message, without the API server's preamble."""
    _, found, rule = message.partition(POLICY)
    return rule if found else message


def _field(status: ApiStatus) -> str:
    causes = status.details.causes if status.details else ()
    return causes[0].field if causes else ""
