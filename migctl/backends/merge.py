"""JSON merge patches (RFC 7396): how a change to an object travels and how it is applied.

A null removes a key, an object merges key by key, everything else replaces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from migctl import objects
from migctl.backends.protocol import Invalid
from migctl.objects import Meta, T
from nodeagent.contract import merge_patch


def merge(target: Any, patch: Any) -> Any:
    """The target with the patch applied; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def merged(stored: T, changes: Mapping[str, Any]) -> T:
    """The object with the changes merged in. Raises Invalid where that breaks its form."""
    return decoded(msgspec.json.encode(merge(_json(stored), plain(changes))), type(stored))


def check_identity(stored: Meta, patched: Meta) -> None:
    """Raises Invalid where a patch would make another object of it."""
    for field in ("name", "project", "uid", "version", "created", "deleting"):
        if getattr(stored, field) != getattr(patched, field):
            raise Invalid(
                f"meta.{field}: cannot be changed",
                hint="only finalizers and labels of meta can be patched",
                field=f"meta.{field}",
            )
    if stored.deleting and set(patched.finalizers) - set(stored.finalizers):
        raise Invalid("meta.finalizers: none can be added to what is being deleted", field="meta.finalizers")


def decoded(text: bytes, kind: type[T]) -> T:
    """The object in a JSON text. Raises Invalid, naming the field."""
    try:
        return objects.decode(text, kind)
    except msgspec.ValidationError as error:
        rule, _, path = str(error).partition(" - at ")
        field = path.strip("`").removeprefix("$").removeprefix(".")
        raise Invalid(f"{field}: {rule}" if field else rule, field=field) from None
    except msgspec.DecodeError as error:
        raise Invalid(f"this is no JSON: {error}") from None


def difference(before: objects.Object, after: objects.Object) -> dict[str, Any]:
    """The patch that makes `before` equal to `after`, map entries that went away included."""
    return merge_patch.difference(_json(before), _json(after))


def plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    """A patch as plain JSON values.

    A Record in it sets all its fields, those at their default included, which JSON leaves out.
    Raises Invalid for what is no JSON object.
    """
    if not isinstance(changes, Mapping):
        raise Invalid("a patch must be a JSON object", hint='for example {"spec": {"suspended": true}}')
    return {str(key): _plain(value) for key, value in changes.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, objects.Record):
        return {f.encode_name: _plain(getattr(value, f.name)) for f in msgspec.structs.fields(value)}
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"a patch must be JSON: {value} is no number there")
    return _json(value)


def _json(value: Any) -> Any:
    try:
        return msgspec.json.decode(objects.encode(value))
    except (TypeError, ValueError) as error:
        raise Invalid(f"a patch must be JSON: {error}") from None
