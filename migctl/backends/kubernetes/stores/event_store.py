"""Events: read as they are, written in the background by the recorder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime

import msgspec

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.kinds import KubernetesEvent as Raw
from migctl.backends.kubernetes.client.resources import EVENTS
from migctl.backends.kubernetes.meaning.custom import meta
from migctl.backends.kubernetes.stores.event_recorder import EventRecorder, Subject
from migctl.backends.kubernetes.stores.read_only import ReadOnlyStore
from migctl.backends.kubernetes.stores.watching import follow
from migctl.backends.protocol import Change, Listing, NotFound
from migctl.objects import Event, EventSpec

KIND_NAMES = {
    "Job": "Workload",
    "StatefulSet": "Workload",
    "Deployment": "Workload",
    "Pod": "Claim",
    "PlacementPlan": "Plan",
}
"""The control plane's kind for each kind of Kubernetes."""


class EventStore(ReadOnlyStore):
    """Kubernetes' own events. `subject` finds what "Kind/name" of a project is."""

    PLURAL = "events"

    def __init__(
        self, api: KubernetesApi, recorder: EventRecorder | None, subject: Callable[[str, str], Subject]
    ) -> None:
        self._api = api
        self._recorder = recorder
        self._subject = subject

    async def list(self, project: str | None) -> Listing[Event]:
        """The events of a project (None: of all), oldest first."""
        found, version = await self._api.list_objects(EVENTS, project or "")
        return Listing(tuple(read(raw) for raw in sorted(found, key=_when)), version)

    async def get(self, name: str, project: str) -> Event:
        try:
            return read(EVENTS.one.decode(await self._api.get(EVENTS, name, project)))
        except NotFound:
            raise NotFound(f"there is no event {name!r} in project {project!r}") from None

    def watch(self, since: str) -> AsyncIterator[Change[Event]]:
        return follow(self._api, EVENTS, since, read)

    async def create(self, obj: Event) -> Event:
        """Hand the event to the recorder, which gives it its name."""
        if self._recorder is not None:
            spec = obj.spec
            self._recorder.record(
                self._subject(spec.about, obj.meta.project), spec.reason, spec.message, warning=spec.warning
            )
        return obj


def read(raw: Raw) -> Event:
    """The control plane's event: created when it happened for the first time."""
    about, count = raw.involved_object, raw.count or 1
    own = meta(raw.metadata)
    return Event(
        meta=msgspec.structs.replace(own, created=raw.first_timestamp or own.created),
        spec=EventSpec(
            about=f"{KIND_NAMES.get(about.kind, about.kind)}/{about.name}",
            reason=raw.reason,
            message=raw.message,
            warning=raw.type == "Warning",
            uid=about.uid if about.kind != "Pod" else "",  # a claim has its own, and the pod's name
            count=count,
            last=_when(raw) if count > 1 else None,
        ),
    )


def _when(raw: Raw) -> datetime:
    moment = raw.last_timestamp or raw.event_time or raw.metadata.creation_timestamp
    assert moment is not None
    return moment
