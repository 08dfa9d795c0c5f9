"""What travels over HTTP, for both ends: lists, changes, errors, the peer.

    GET    /apis/migctl.dev/v1alpha1/{plural}?project=                   List
    GET    /apis/migctl.dev/v1alpha1/{plural}?watch=true&since=          Change lines; empty lines are heartbeats
    POST   /apis/migctl.dev/v1alpha1/{plural}                            the object -> 201 and the object
    GET    /apis/migctl.dev/v1alpha1/{plural}/{name}?project=            the object
    PATCH  /apis/migctl.dev/v1alpha1/{plural}/{name}?project=&uid=[&version=]   a merge patch -> the object
    DELETE /apis/migctl.dev/v1alpha1/{plural}/{name}?project=&uid=       -> 204
    GET    /apis/migctl.dev/v1alpha1/workloads/{name}/log?project=&follow=&tail=        its output
    GET    /apis/migctl.dev/v1alpha1/workloads/{name}/exec-environment?project=         ExecEnvironment
    POST   /apis/migctl.dev/v1alpha1/workloads/verdict                   a Workload, not created -> WorkloadVerdict
    GET    /whoami   /healthz   /readyz

`version` fences the patch. An error is its HTTP status and an Error.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from migctl.backends.protocol import (
    AlreadyExists,
    Conflict,
    ControlPlaneError,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from migctl.objects import API_VERSION

OBJECTS = f"/apis/{API_VERSION}"
REST = "/api/v1"
JSON = "application/json"
JSON_LINES = "application/x-ndjson"
HEARTBEAT = b"\n"
HEARTBEAT_S = 10.0

STATUS: Mapping[type[ControlPlaneError], int] = MappingProxyType(
    {
        Invalid: 400,
        Unauthenticated: 401,
        Forbidden: 403,
        NotFound: 404,
        AlreadyExists: 409,
        Conflict: 409,
        Expired: 410,
        RateLimited: 429,
        Unavailable: 503,
    }
)
"""HTTP status of each error; its name is the code in the body."""

_KINDS = {kind.__name__: kind for kind in STATUS}


class Error(msgspec.Struct, frozen=True):
    """An error's body. details: `field` names the field that breaks the rule."""

    code: str
    message: str
    details: dict[str, str] = {}
    hint: str = ""


class RestError(msgspec.Struct, frozen=True):
    """The same as the REST API tells it. code: the HTTP status."""

    code: int
    message: str
    details: str = ""


class List(msgspec.Struct, frozen=True, rename="camel"):
    """A consistent list of objects, and the version that a watch continues from."""

    api_version: str
    kind: str
    version: str
    items: msgspec.Raw


class ChangeLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of a watch: an object's change, or (type ERROR) why the watch ends."""

    type: str
    object: msgspec.Raw = msgspec.Raw(b"null")
    error: Error | None = None


class Peer(msgspec.Struct, frozen=True):
    """The process at the other end of the socket, as the kernel knows it."""

    user: str
    uid: int
    gid: int
    pid: int


def error_body(error: ControlPlaneError) -> Error:
    """The body of an error; one outside STATUS is Unavailable."""
    kind = next((kind for kind in STATUS if isinstance(error, kind)), Unavailable)
    field = error.field if isinstance(error, Invalid) else ""
    return Error(kind.__name__, str(error), {"field": field} if field else {}, error.hint)


def error_status(error: ControlPlaneError) -> int:
    """The HTTP status of an error; 500 for one outside STATUS."""
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def to_exception(error: Error) -> ControlPlaneError:
    """The protocol's error of a body; Unavailable for an unknown code."""
    if error.code == Invalid.__name__:
        return Invalid(error.message, error.hint, error.details.get("field", ""))
    return _KINDS.get(error.code, Unavailable)(error.message, error.hint)
