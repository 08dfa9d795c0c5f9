"""Events: what happened to objects."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from migctl.objects.record import Meta, Record


class EventSpec(Record, frozen=True):
    """What happened.

    about  "Kind/name" of the object; uid: its uid, "" where it is not known
    count  how often; last: when for the last time, None: once
    happening  which one was counted last, so that it is not counted again; "" where it cannot be seen twice
    """

    about: str
    reason: str
    message: str
    warning: bool = False
    uid: str = ""
    count: int = 1
    last: datetime | None = None
    happening: str = ""


class Event(Record, frozen=True, tag_field="kind", tag="Event"):
    """Something that happened to an object."""

    PLURAL: ClassVar[str] = "events"
    meta: Meta
    spec: EventSpec
