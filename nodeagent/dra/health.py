"""Health of the node's devices, streamed to the kubelet, which puts it into the status of the pods that hold them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from nodeagent.contract.allocation import NodeReport
from nodeagent.dra.stubs import health_pb2
from nodeagent.kubernetes.devices import devices

SERVICES = ("v1alpha1.DRAResourceHealth", "v1.DRAResourceHealth")
"""The same messages under the name of Kubernetes 1.36 and the one after it."""

EVERY_S = 15.0
_VALID_S = 60  # the kubelet takes it for unknown after that
_MAX_TEXT = 1024


class StreamContext(Protocol):
    """The gRPC context of a stream, as far as it is used."""

    def is_active(self) -> bool: ...
    def add_callback(self, callback: Callable[[], None]) -> bool: ...


class HealthService:
    """Streams the newest report's health to every caller of `watch`: when it changes, and every EVERY_S seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._latest: tuple[tuple[str, str, str], ...] = ()
        self._version = 0
        self._at = 0

    def put(self, report: NodeReport) -> None:
        """Set the newest report."""
        latest = tuple((report.node, device.name, device.problem) for device in devices(report))
        with self._changed:
            self._at = int(self._now())
            if latest != self._latest:
                self._latest = latest
                self._version += 1
                self._changed.notify_all()

    def watch(
        self, request: health_pb2.NodeWatchResourcesRequest, context: StreamContext
    ) -> Iterator[health_pb2.NodeWatchResourcesResponse]:
        """The stream, until the caller leaves."""
        context.add_callback(self._wake)
        seen = -1
        while context.is_active():
            seen, latest, at = self._next(seen, context)
            if seen and context.is_active():
                yield health_pb2.NodeWatchResourcesResponse(devices=[_health(at, *entry) for entry in latest])

    def _next(self, seen: int, context: StreamContext) -> tuple[int, tuple[tuple[str, str, str], ...], int]:
        """Version, devices and time of the next message: once the version is not `seen`, or after EVERY_S seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen or not context.is_active(), EVERY_S)
            return self._version, self._latest, self._at

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _health(at: int, pool: str, name: str, problem: str) -> Any:
    return health_pb2.DeviceHealth(
        device=health_pb2.DeviceIdentifier(pool_name=pool, device_name=name),
        health=health_pb2.UNHEALTHY if problem else health_pb2.HEALTHY,
        last_updated_time=at,
        health_check_timeout_seconds=_VALID_S,
        message=problem[:_MAX_TEXT],
    )
