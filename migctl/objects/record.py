"""What every stored object has: how it is encoded, its identity and lifetime."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """The encoding that all parts of an object share: camelCase keys, no defaults, no unknown fields."""


class Meta(Record, frozen=True):
    """Identity and lifetime of an object.

    project     "" for objects of the whole cluster (projects, nodes, plans)
    version     opaque; changes with every write
    deleting    when deletion was requested; the object is removed with its last finalizer
    """

    name: str
    project: str = ""
    uid: str = ""
    version: str = ""
    created: datetime | None = None
    deleting: datetime | None = None
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = {}
