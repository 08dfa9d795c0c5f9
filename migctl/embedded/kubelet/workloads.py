"""The workload controller: makes claims of workloads, as the Job and StatefulSet controllers make pods on Kubernetes.

A training of N completions runs up to `parallelism` pods side by side, each index until it has
succeeded once; a failed pod is tried again, later each time, until `backoff_limit` is passed. A
workspace is started again whenever it ends. Suspending and deleting remove the claims. A gang
that has lost members it needs gets a grace period in which the others may end; then they are stopped too,
and it starts again when all are removed, those that had succeeded included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import msgspec

from migctl.backends.mirror import Mirror
from migctl.backends.protocol import AlreadyExists, Conflict, ControlPlane, NotFound
from migctl.backends.workload_status import index_count, summary
from migctl.backoff import delay
from migctl.clock import Clock
from migctl.objects import Claim, ClaimSpec, ClaimStatus, Meta, Phase, Workload, WorkloadType, to_builtins

CLAIMS_FINALIZER = "migctl.dev/claims"
PROCESSES_FINALIZER = "migctl.dev/processes"
GANG_GRACE = timedelta(seconds=5)
RAN_WELL = timedelta(minutes=10)
"""A pod that ran so long is tried again without the delay that earlier ends had led to, as kubelet does it."""
MOST_ENDED = 12
"""Ended pods of one number of a workspace that are kept, newest first; so many have led to the longest delay."""


class WorkloadController:
    """Makes the claims that every workload's spec requires, and derives its status from them."""

    def __init__(self, control_plane: ControlPlane, mirror: Mirror, clock: Clock) -> None:
        self._control_plane = control_plane
        self._mirror = mirror
        self._clock = clock

    async def run(self) -> None:
        """Reconcile for every change and whenever one is due, until cancelled."""
        seen = -1
        while True:
            seen = await self._mirror.wait(seen, await self.reconcile())

    async def reconcile(self) -> float | None:
        """Reconcile every workload once; seconds until the next of them is due, None: at the next change."""
        if not self._mirror.synced:
            return None
        claims: dict[str, list[Claim]] = {}
        for claim in self._mirror.all(Claim):
            claims.setdefault(claim.spec.workload_uid, []).append(claim)
        waits = []
        for workload in self._mirror.all(Workload):
            try:
                waits.append(await self._reconcile(workload, claims.pop(workload.meta.uid, [])))
            except (Conflict, NotFound):
                await asyncio.sleep(0)
        for orphans in claims.values():
            await self._remove(orphans)
        return min((wait for wait in waits if wait is not None), default=None)

    async def _reconcile(self, workload: Workload, claims: list[Claim]) -> float | None:
        if workload.meta.deleting is not None:
            await self._finish_deletion(workload, claims)
            return None
        if CLAIMS_FINALIZER not in workload.meta.finalizers:
            finalizers = [*workload.meta.finalizers, CLAIMS_FINALIZER]
            await self._absorb(workload, {"meta": {"finalizers": finalizers}})
            workload = self._mirror.get(Workload, workload.meta.name, workload.meta.project) or workload
        wait = None
        if workload.spec.suspended or workload.status.phase.finished:
            await self._remove(c for c in claims if not c.status.phase.finished)
        else:
            wait = await self._fill(workload, claims)
        await self._write_status(workload, claims)
        return wait if wait is not None else await self._expire(workload)

    async def _finish_deletion(self, workload: Workload, claims: list[Claim]) -> None:
        await self._remove(claims)
        if not claims and CLAIMS_FINALIZER in workload.meta.finalizers:
            rest = [f for f in workload.meta.finalizers if f != CLAIMS_FINALIZER]
            await self._absorb(workload, {"meta": {"finalizers": rest}})
        elif workload.status.phase is not Phase.TERMINATING:
            await self._absorb(workload, {"status": {"phase": Phase.TERMINATING}})

    async def _fill(self, workload: Workload, claims: list[Claim]) -> float | None:
        """Make the claims that are missing; seconds until there is more to do."""
        living = [c for c in claims if not c.status.phase.finished and c.meta.deleting is None]
        if workload.spec.type is WorkloadType.WORKSPACE:
            await self._remove(_outdated(claims))
        active = {c.spec.index for c in living}
        done = {c.spec.index for c in claims if c.status.phase is Phase.COMPLETED}
        if workload.spec.type is WorkloadType.WORKSPACE:
            done = set()
        if _broken(workload, living, len(active | done)):
            return await self._break_up(claims, living)
        missing = [i for i in range(index_count(workload)) if i not in active and i not in done]
        if done and workload.spec.gang and not active and 0 < len(missing) < workload.spec.gang.size:
            await self._remove(c for c in claims if c.status.phase is Phase.COMPLETED)
            return None
        waits = []
        for index in missing[: max(0, workload.spec.parallelism - len(active))]:
            earlier = [c for c in claims if c.spec.index == index]
            wait = self._back_off(workload, claims if workload.spec.gang else earlier)
            if wait > 0:
                waits.append(wait)
            else:
                await self._create(workload, index, earlier)
        return min(waits, default=None)

    async def _break_up(self, claims: list[Claim], living: list[Claim]) -> float | None:
        """Stop what is left of a gang once its grace is over; seconds left of it."""
        lost = [c.status.finished for c in claims if c.status.phase is Phase.FAILED] + [c.meta.deleting for c in claims]
        since = max((moment for moment in lost if moment is not None), default=None)
        left = 0.0 if since is None else (since + GANG_GRACE - self._clock()).total_seconds()
        if left <= 0:
            await self._remove(living)
        return max(left, 0.0) or None

    def _back_off(self, workload: Workload, earlier: list[Claim]) -> float:
        """Seconds to wait before pods are tried again after these have ended, longer each time."""
        counted = [c for c in earlier if workload.spec.gang is None or c.status.phase is Phase.FAILED]
        failures = _ended_in_a_row(counted)
        if not failures:
            return 0.0
        last = max(c.status.finished for c in earlier if c.status.phase.finished and c.status.finished is not None)
        wait: timedelta = last + delay(failures, workload.meta.uid) - self._clock()
        return wait.total_seconds()

    async def _create(self, workload: Workload, index: int, earlier: list[Claim]) -> None:
        attempt = max((c.spec.attempt + 1 for c in earlier), default=0)
        moving = next((c.status.nomination for c in earlier if c.meta.deleting and c.status.nomination), None)
        claim = Claim(
            meta=Meta(
                name=f"{workload.meta.name}-{index}-{attempt}",
                project=workload.meta.project,
                finalizers=(PROCESSES_FINALIZER,),
            ),
            spec=ClaimSpec.of(workload, index, attempt),
            status=ClaimStatus(nomination=moving),
        )
        try:
            await self._mirror.absorb(await self._control_plane.create(claim))
        except AlreadyExists:
            return

    async def _remove(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            if claim.meta.deleting is None:
                try:
                    await self._control_plane.delete(claim)
                except NotFound:
                    continue

    async def _write_status(self, workload: Workload, claims: list[Claim]) -> None:
        status = summary(workload, claims)
        if status.phase.finished and status.finished is None:
            status = msgspec.structs.replace(status, finished=self._clock())
        if status != workload.status:
            old, new = to_builtins(workload.status), to_builtins(status)
            cleared = {key: None for key in old if key not in new}
            await self._absorb(workload, {"status": {**cleared, **new}})

    async def _expire(self, workload: Workload) -> float | None:
        """Delete a finished workload whose time to live is over; seconds left of it."""
        finished, ttl = workload.status.finished, workload.spec.ttl_after_finish_s
        if finished is None or ttl is None:
            return None
        left = (finished + timedelta(seconds=ttl) - self._clock()).total_seconds()
        if left <= 0:
            await self._control_plane.delete(workload)
        return max(left, 0.0)

    async def _absorb(self, workload: Workload, changes: dict[str, object]) -> None:
        await self._mirror.absorb(await self._control_plane.patch(workload, changes, fenced=True))


def _ended_in_a_row(claims: Iterable[Claim]) -> int:
    """How many have ended, counted from the last one back to one that had run well."""
    ended = [(c.status.finished, c.status.started) for c in claims if c.status.phase.finished and c.status.finished]
    count = 0
    for finished, started in sorted(ended, key=lambda times: times[0], reverse=True):
        count += 1
        if started is not None and finished - started >= RAN_WELL:
            break
    return count


def _outdated(claims: Iterable[Claim]) -> list[Claim]:
    """Ended pods that are not among the newest of their number."""
    by_index: dict[int, list[Claim]] = {}
    for claim in claims:
        if claim.status.phase.finished:
            by_index.setdefault(claim.spec.index, []).append(claim)
    return [old for ended in by_index.values() for old in sorted(ended, key=lambda c: c.spec.attempt)[:-MOST_ENDED]]


def _broken(workload: Workload, living: list[Claim], present: int) -> bool:
    """Whether a gang that has started lacks pods it needs."""
    gang = workload.spec.gang
    return gang is not None and present < gang.size and any(c.status.allocation is not None for c in living)
