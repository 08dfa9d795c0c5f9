"""Kubernetes events: what `kubectl describe` shows under a pod, a Job or a project.

Recording never waits and never fails a decision: events go out in the background, a repeated one
counts up instead of piling up, and when too many wait the oldest are dropped.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import EVENTS
from migctl.backends.kubernetes.meaning.records import GpuPod
from migctl.backends.protocol import AlreadyExists, ControlPlaneError, NotFound
from migctl.clock import Clock

log = structlog.get_logger()

COMPONENT = "migctl"
QUEUE_LENGTH = 10_000
MAX_COUNTED = 10_000
LONGEST_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    api_version: str = "v1"

    @property
    def json(self) -> dict[str, str]:
        """An involvedObject, without what is empty."""
        fields = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
        }
        return {key: value for key, value in fields.items() if value}


@dataclass(frozen=True, slots=True)
class EventNote:
    """An event that is not sent yet."""

    subject: Subject
    reason: str
    message: str
    warning: bool

    @property
    def name(self) -> str:
        """The same for the same reason and message about the same object: a repetition is counted, not stored."""
        content = f"{self.subject}{self.reason}{self.message}"
        return f"{self.subject.name[:200]}.{hashlib.sha256(content.encode()).hexdigest()[:16]}"


class EventRecorder:
    """Events on their way to the API server."""

    def __init__(self, api: KubernetesApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._waiting: asyncio.Queue[EventNote] = asyncio.Queue(QUEUE_LENGTH)
        self._counts: OrderedDict[str, int] = OrderedDict()

    def about_pod(self, pod: GpuPod, reason: str, message: str, *, warning: bool = False) -> None:
        """Record an event about a pod."""
        self.record(Subject("Pod", pod.name, pod.namespace, pod.uid), reason, message, warning=warning)

    def record(self, subject: Subject, reason: str, message: str, *, warning: bool = False) -> None:
        """Queue an event; the oldest is dropped where QUEUE_LENGTH wait."""
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(EventNote(subject, reason, message[:LONGEST_MESSAGE], warning))

    async def run(self) -> None:
        """Send what is recorded, until cancelled."""
        while True:
            note = await self._waiting.get()
            try:
                await self._send(note)
            except ControlPlaneError as error:
                log.debug("an event was lost", subject=note.subject.name, error=str(error))

    async def _send(self, note: EventNote) -> None:
        namespace = note.subject.namespace or "default"
        count = self._counts.pop(note.name, 0) + 1
        self._counts[note.name] = count
        if len(self._counts) > MAX_COUNTED:
            self._counts.popitem(last=False)
        if count > 1:
            try:
                await self._api.patch(EVENTS, note.name, self._repetition(count), namespace)
                return
            except NotFound:
                self._counts[note.name] = 1
        try:
            await self._api.create(EVENTS, self._body(note, namespace), namespace)
        except AlreadyExists:
            await self._api.patch(EVENTS, note.name, self._repetition(count + 1), namespace)

    def _repetition(self, count: int) -> Mapping[str, Any]:
        return {"count": count, "lastTimestamp": self._now()}

    def _body(self, note: EventNote, namespace: str) -> Mapping[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": note.name, "namespace": namespace},
            "involvedObject": note.subject.json,
            "reason": note.reason,
            "message": note.message,
            "type": "Warning" if note.warning else "Normal",
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "firstTimestamp": self._now(),
            "lastTimestamp": self._now(),
            "count": 1,
        }

    def _now(self) -> str:
        return self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
