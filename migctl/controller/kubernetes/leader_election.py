"""One controller at a time, by a Lease.

All waiting is measured on the own monotonic clock: a holder counts as failed when its Lease has not
changed for a whole lease duration, whatever the clocks of both machines say. A leader that cannot
renew steps down well before that. The real fence is elsewhere: every write names the version it is
made upon.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.kinds import Lease
from migctl.backends.kubernetes.client.resources import LEASES
from migctl.backends.protocol import AlreadyExists, Conflict, ControlPlaneError, NotFound
from migctl.clock import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """Seconds. renew_s < step_down_s < duration_s.

    duration_s   without a change of the Lease: then another candidate takes it
    step_down_s  without a renewal: then the leader stops
    renew_s      between two renewals
    """

    duration_s: float = 15.0
    step_down_s: float = 10.0
    renew_s: float = 3.0


DEFAULT_LEASE_TIMING = LeaseTiming()


class LeaderElector:
    """One candidate. `leading` while it holds the Lease."""

    def __init__(
        self,
        api: KubernetesApi,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        timing: LeaseTiming = DEFAULT_LEASE_TIMING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.leading = False
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._timing = timing
        self._monotonic = monotonic
        self._seen = ""
        self._seen_at = 0.0

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Lead whenever elected, until cancelled; the work is cancelled when leadership is lost."""
        while True:
            began = self._monotonic()
            try:
                held = await self._take()
            except ControlPlaneError as error:
                log.warning("cannot take part in the election", error=str(error))
                held = None
            if held is not None:
                await self._lead(held, began, lead)
            await asyncio.sleep(self._timing.renew_s * random.uniform(0.8, 1.2))

    async def _lead(self, held: Lease, taken: float, lead: Callable[[], Awaitable[None]]) -> None:
        log.info("leading", identity=self._identity)
        self.leading = True
        work = asyncio.ensure_future(lead())
        renewal = asyncio.ensure_future(self._renew(held, taken))
        try:
            await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._stop(work, renewal)
            await self._release()
            raise
        await self._stop(work, renewal)
        if not work.cancelled():
            work.result()
        log.warning("not leading any more", identity=self._identity)

    async def _stop(self, *tasks: asyncio.Future[None]) -> None:
        self.leading = False
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _take(self) -> Lease | None:
        """Become the holder if there is none, or if it has failed; the Lease as it is then."""
        now = self._monotonic()
        try:
            lease = LEASES.one.decode(await self._api.get(LEASES, self._name, self._namespace))
        except NotFound:
            return await self._create()
        spec = lease.spec
        if lease.metadata.resource_version != self._seen:
            self._seen, self._seen_at = lease.metadata.resource_version, now
        abandoned = not spec.holder_identity or spec.holder_identity == self._identity
        lasts = max(float(spec.lease_duration_seconds or 0), self._timing.duration_s)
        if not abandoned and now - self._seen_at < lasts:
            return None
        transitions = (spec.lease_transitions or 0) + (spec.holder_identity != self._identity)
        try:
            return await self._write(lease, self._identity, transitions)
        except Conflict:
            return None

    async def _create(self) -> Lease | None:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(self._identity, 0),
        }
        try:
            return LEASES.one.decode(await self._api.create(LEASES, body, self._namespace))
        except AlreadyExists:
            return None

    async def _renew(self, held: Lease, renewed: float) -> None:
        """Renew until it cannot be done in time, or somebody else has taken the lease.

        renewed  when the last renewal that was answered was begun: step_down_s later leading ends, whatever hangs
        """
        while True:
            deadline = renewed + self._timing.step_down_s
            await asyncio.sleep(min(self._timing.renew_s, max(0.0, deadline - self._monotonic())))
            began = self._monotonic()
            if began >= deadline:
                return
            try:
                async with asyncio.timeout(deadline - began):
                    fresh = await self._renewed(held)
            except (ControlPlaneError, TimeoutError) as error:
                log.warning("cannot renew the lease", error=str(error))
                continue
            if fresh is None:
                return
            held, renewed = fresh, began

    async def _renewed(self, held: Lease) -> Lease | None:
        """The lease after a renewal, None where another candidate holds it."""
        try:
            return await self._write(held, self._identity, held.spec.lease_transitions or 0)
        except (Conflict, NotFound) as error:
            fresh = await self._own()
            if fresh is None:
                log.warning("another candidate holds the lease", error=str(error))
            return fresh

    async def _own(self) -> Lease | None:
        """The lease, if it is still ours: an answer to a renewal may have been lost."""
        try:
            lease = LEASES.one.decode(await self._api.get(LEASES, self._name, self._namespace))
        except ControlPlaneError:
            return None
        return lease if lease.spec.holder_identity == self._identity else None

    async def _release(self) -> None:
        """Release the Lease, so that another candidate takes it at once."""
        try:
            async with asyncio.timeout(self._timing.step_down_s):
                lease = await self._own()
                if lease is not None:
                    await self._write(lease, "", lease.spec.lease_transitions or 0)
        except (ControlPlaneError, TimeoutError) as error:
            log.debug("the lease was not released", error=str(error))

    async def _write(self, lease: Lease, holder: str, transitions: int) -> Lease:
        fence = {"uid": lease.metadata.uid, "resourceVersion": lease.metadata.resource_version}
        body = {"metadata": fence, "spec": self._spec(holder, transitions)}
        return LEASES.one.decode(await self._api.patch(LEASES, self._name, body, self._namespace))

    def _spec(self, holder: str, transitions: int) -> dict[str, Any]:
        now = self._clock().astimezone(UTC)
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._timing.duration_s)),
            "renewTime": _micro(now),
            "leaseTransitions": transitions,
        }


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
