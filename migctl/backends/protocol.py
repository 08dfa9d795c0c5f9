"""The one protocol of a control plane: list, get, watch, create, patch, delete.

Adapters: embedded (SQLite), remote (HTTP over the socket of `migctl up`), Kubernetes. All pass
tests/migctl/backends/contract. Deletion is a request: an object with finalizers stays, marked `deleting`,
until the last finalizer is patched away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol

from migctl.objects import Object, T, singular


class ControlPlaneError(Exception):
    """What every adapter raises. The message is for users; `hint` says what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotFound(ControlPlaneError):
    """There is no such object."""


class AlreadyExists(ControlPlaneError):
    """The name is taken."""


class Conflict(ControlPlaneError):
    """The object changed since it was read: read it again."""


class Expired(ControlPlaneError):
    """The watch's starting point is too old: list again."""


class Invalid(ControlPlaneError):
    """A field breaks a rule; the message names both.

    field  its JSON path, "spec.gpuRequest.fraction" ("": the whole object)
    """

    def __init__(self, message: str, hint: str = "", field: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


class Forbidden(ControlPlaneError):
    """The user may not do this."""


class Unauthenticated(ControlPlaneError):
    """Nobody vouches for the caller."""


class RateLimited(ControlPlaneError):
    """The caller asks too often. retry_after_s: when he may ask again."""

    def __init__(self, message: str, hint: str = "", retry_after_s: int = 1) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


class Unavailable(ControlPlaneError):
    """The control plane does not answer: try again later."""


class ChangeType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One change of one object; a DELETED one carries its last state."""

    type: ChangeType
    object: T


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A consistent list of objects; a watch continues from `version`."""

    items: tuple[T, ...]
    version: str


class ControlPlane(Protocol):
    """Where objects live. `project` "" names cluster-wide objects; None lists all projects."""

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]: ...

    async def get(self, kind: type[T], name: str, project: str = "") -> T: ...

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        """Changes after `since`, oldest first, for as long as the caller iterates. Raises Expired."""
        ...

    async def create(self, obj: T) -> T:
        """Store a new object; fills in uid, version and created. Raises AlreadyExists, Invalid."""
        ...

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        """Merge `changes` (RFC 7396, JSON keys) into the stored object of obj's kind, name and uid.

        fenced: raise Conflict unless the stored version is obj's. Raises NotFound when the
        object does not exist or another one has its name now. A Record in `changes`
        sets all its fields; only null removes an entry of a map, see merge.difference.
        """
        ...

    async def delete(self, obj: T) -> None:
        """Request obj's deletion (by name and uid). Raises NotFound."""
        ...


def missing(kind: type[Object], name: str, project: str) -> NotFound:
    """The error for an object that does not exist."""
    where = f" in project {project!r}" if project else ""
    return NotFound(f"there is no {singular(kind)} {name!r}{where}")
