"""Writes decided one after another on top of a state, before they are stored.

Each method is one rule of the protocol: it adds the change it means, or raises and adds none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from msgspec.structs import replace

from migctl.backends.merge import check_identity, decoded, merged
from migctl.backends.protocol import AlreadyExists, Change, ChangeType, Conflict, Invalid, missing
from migctl.backends.sqlite.state import ObjectState
from migctl.clock import Clock
from migctl.objects import Object, T, encode, singular

Uids = Callable[[], str]


class Transaction:
    """Changes that follow each other; `changes` is what must be stored, in order."""

    def __init__(self, state: ObjectState, clock: Clock, uids: Uids) -> None:
        self.changes: list[Change[Any]] = []
        self._state = state
        self._clock = clock
        self._uids = uids
        self._written: dict[tuple[str, str, str], Object | None] = {}

    def create(self, obj: T) -> T:
        _check_segment("meta.name", obj.meta.name or "/")
        _check_segment("meta.project", obj.meta.project)
        if self._find(type(obj), obj.meta.name, obj.meta.project) is not None:
            where = f" in project {obj.meta.project!r}" if obj.meta.project else ""
            raise AlreadyExists(
                f"{singular(type(obj))} {obj.meta.name!r} exists already{where}",
                hint="choose another name, or delete it first",
            )
        born = replace(obj.meta, uid=self._uids(), created=self._clock(), deleting=None)
        return self._add(ChangeType.ADDED, _checked(replace(obj, meta=born)))

    def patch(self, obj: T, changes: Mapping[str, Any], fenced: bool) -> T:
        """See ControlPlane.patch."""
        stored = self._stored(obj)
        if fenced and stored.meta.version != obj.meta.version:
            raise Conflict(
                f"{singular(type(obj))} {obj.meta.name!r} was changed since it was read",
                hint="read it again and repeat the change",
            )
        patched = merged(stored, changes)
        check_identity(stored.meta, patched.meta)
        if patched == stored:
            return stored
        if stored.meta.deleting and not patched.meta.finalizers:
            return self._add(ChangeType.DELETED, patched)
        return self._add(ChangeType.MODIFIED, patched)

    def delete(self, obj: T) -> None:
        """See ControlPlane.delete."""
        stored = self._stored(obj)
        if not stored.meta.finalizers:
            self._add(ChangeType.DELETED, stored)
        elif stored.meta.deleting is None:
            self._add(ChangeType.MODIFIED, replace(stored, meta=replace(stored.meta, deleting=self._clock())))

    def _stored(self, obj: T) -> T:
        """The stored object of obj's name and uid. Raises NotFound."""
        stored = self._find(type(obj), obj.meta.name, obj.meta.project)
        if stored is None or stored.meta.uid != obj.meta.uid:
            raise missing(type(obj), obj.meta.name, obj.meta.project)
        return stored

    def _find(self, kind: type[T], name: str, project: str) -> T | None:
        key = (kind.PLURAL, project, name)
        found = self._written[key] if key in self._written else self._state.find(*key)
        return cast("T | None", found)

    def _add(self, change: ChangeType, obj: T) -> T:
        version = str(self._state.revision + len(self.changes) + 1)
        written = replace(obj, meta=replace(obj.meta, version=version))
        key = (written.PLURAL, written.meta.project, written.meta.name)
        self._written[key] = None if change is ChangeType.DELETED else written
        self.changes.append(Change(change, written))
        return written


def _check_segment(field: str, name: str) -> None:
    """Raises Invalid for a name that cannot be part of a URL's path."""
    if "/" in name or name in (".", ".."):
        raise Invalid(f"{field}: a name is not empty, '.' or '..' and holds no '/'", field=field)


def _checked(obj: T) -> T:
    """The object as it reads back, so that nothing is stored that cannot be read."""
    try:
        text = encode(obj)
    except (TypeError, ValueError) as error:
        raise Invalid(f"this is no JSON: {error}") from None
    return decoded(text, type(obj))
