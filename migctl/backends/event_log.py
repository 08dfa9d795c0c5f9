"""Events as they are recorded: the same thing about the same object is one event that counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from migctl.backends.protocol import AlreadyExists, ControlPlane, NotFound
from migctl.clock import Clock
from migctl.objects import Event, EventSpec, Meta, to_builtins

LONGEST_MESSAGE = 1000


@dataclass(frozen=True)
class EventLog:
    """Where events about objects are recorded."""

    control_plane: ControlPlane
    clock: Clock

    async def record(
        self,
        about: str,
        project: str,
        reason: str,
        message: str,
        *,
        uid: str = "",
        warning: bool = False,
        happening: str = "",
    ) -> None:
        """Store an event, or count it where it is stored. about: "Kind/name" of the object; uid: its uid.

        happening  which one it is, for what may be told again after a restart: the same one counts once

        Raises what the control plane raises.
        """
        spec = EventSpec(
            about=about, reason=reason, message=message[:LONGEST_MESSAGE], warning=warning, uid=uid, happening=happening
        )
        event = Event(meta=Meta(name=_name(spec), project=project), spec=spec)
        try:
            await self.control_plane.create(event)
        except AlreadyExists:
            await self._count(event)

    async def _count(self, event: Event) -> None:
        try:
            stored = await self.control_plane.get(Event, event.meta.name, event.meta.project)
            if event.spec.happening and event.spec.happening == stored.spec.happening:
                return
            again = {
                "happening": event.spec.happening,
                "count": stored.spec.count + 1,
                "last": to_builtins(self.clock()),
            }
            await self.control_plane.patch(stored, {"spec": again})
        except NotFound:
            return  # it is old, and was just removed


def _name(spec: EventSpec) -> str:
    content = "\0".join((spec.about, spec.uid, spec.reason, spec.message))
    return f"event-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
