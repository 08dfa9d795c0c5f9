"""PlacedPodsReconciler: follows pods that have an allocation until they run, and says what holds others back.

Level-triggered: each round looks at every pod that has an allocation and does not run yet.

    held back by something else  say so in its condition: other gates, a request that cannot be read
    gate still closed            open it; a gang's gates open when all its members have an allocation, and what is
                                 allocated behind a gate that stays closed is released
    two claims on one device     the one that is not prepared gives way
    kube-scheduler cannot bind   release the allocation, exclude the node for a while
    kubelet has not prepared it  annotate the pod: kubelet tries again at once instead of after a minute
    the agent does not prepare   request eviction, so that its controller makes another pod
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.meaning import exclusions, names, requests
from migctl.backends.kubernetes.meaning.records import ClaimRecord, GpuPod
from migctl.backends.kubernetes.stores.event_recorder import EventRecorder
from migctl.backends.protocol import ControlPlaneError
from migctl.clock import Clock
from migctl.controller.apply import MAX_CONCURRENT_WRITES
from migctl.controller.kubernetes.claims.placements import Placements
from migctl.controller.kubernetes.claims.pod_patches import LONGEST_MESSAGE, PodPatches
from migctl.controller.kubernetes.double_allocations import must_give_way
from migctl.objects import GpuNode

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PlacementTimeouts:
    """Seconds.

    bind_s        kube-scheduler says that it cannot bind, or the rest of the gang has no place: then the allocation is
                  released
    nudge_s       kubelet has begun a pod and not prepared it: then it is annotated, and again each time twice as late
    give_up_s     a bound pod is still not prepared although the agent is ready: then it is evicted
    look_again_s  between two rounds, at most
    """

    bind_s: float = 3.0
    nudge_s: float = 4.0
    longest_nudge_s: float = 60.0
    give_up_s: float = 300.0
    look_again_s: float = 1.0


DEFAULT_TIMEOUTS = PlacementTimeouts()
Action = Callable[[], Awaitable[None]]
GangKey = tuple[str, str]


@dataclass
class PodProgress:
    """What is remembered of a pod that does not run yet, on the monotonic clock."""

    refused_since: float | None = None
    closed_since: float | None = None
    bound_since: float | None = None
    nudge_at: float | None = None
    nudges: int = 0


@dataclass
class PlacedPodsReconciler:
    """Takes placed pods to where they run. Runs on the leader only."""

    cluster: ClusterCache
    placements: Placements
    pods: PodPatches
    recorder: EventRecorder
    clock: Clock
    timeouts: PlacementTimeouts = DEFAULT_TIMEOUTS
    monotonic: Callable[[], float] = time.monotonic
    _progress: dict[str, PodProgress] = field(default_factory=dict)

    async def run(self) -> None:
        """Reconcile whenever something changed, and every look_again_s, until cancelled."""
        async for _ in self.cluster.rounds(self.timeouts.look_again_s):
            await self.reconcile()

    async def reconcile(self) -> None:
        """Take the next action for every pod that does not run yet."""
        starting = self.cluster.starting()
        self._progress = {pod.uid: self._progress.get(pod.uid) or PodProgress() for pod, _ in starting}
        gangs = self._placed_members() if any(names.GANG_SIZE in pod.annotations for pod, _ in starting) else {}
        writes = asyncio.Semaphore(MAX_CONCURRENT_WRITES)
        async with asyncio.TaskGroup() as tasks:
            for pod, record in starting:
                action = self._next_action(pod, record, self._progress[pod.uid], gangs)
                if action is not None:
                    tasks.create_task(self._attempt(pod, action, writes))
            for pod, claim in self.cluster.suspended():
                said = (claim.status.reason, claim.status.message[:LONGEST_MESSAGE])
                if pod.placed is None or (pod.placed.reason, pod.placed.message) != said:
                    tasks.create_task(self._attempt(pod, partial(self.pods.waits, pod, *said), writes))

    @staticmethod
    async def _attempt(pod: GpuPod, action: Action, writes: asyncio.Semaphore) -> None:
        async with writes:
            try:
                await action()
            except ControlPlaneError as error:
                log.warning("to be tried again", pod=pod.name, project=pod.namespace, error=str(error))

    def _next_action(
        self, pod: GpuPod, record: ClaimRecord, progress: PodProgress, gangs: Mapping[GangKey, int]
    ) -> Action | None:
        """The next action for a pod, None where it only has to wait."""
        now = self.monotonic()
        if pod.deleting is not None or record.grant is None:
            return None
        rival = must_give_way(self.cluster, record)
        if rival is not None:
            return partial(self._give_way, pod, record, rival)
        if pod.gated:
            return self._closed(pod, record, progress, gangs, now)
        if not pod.node:
            return self._unbound(pod, record, progress, now)
        return self._unprepared(pod, record, progress, now)

    async def _open(self, pod: GpuPod) -> None:
        await self.pods.placed(pod, pod.annotations.get(names.PLACED, ""), open_gate=True)

    def _placed_members(self) -> Mapping[GangKey, int]:
        """How many members of each gang have an allocation and stay."""
        placed = (record for record in self.cluster.claims.all.values() if record.grant is not None)
        pods = (self.cluster.pod_of(record) for record in placed)
        staying = (pod for pod in pods if pod is not None and pod.deleting is None and not pod.finished)
        return Counter(gang for pod in staying if (gang := requests.gang_of(pod)) is not None)

    def _closed(
        self, pod: GpuPod, record: ClaimRecord, progress: PodProgress, gangs: Mapping[GangKey, int], now: float
    ) -> Action | None:
        """Open the gate of a pod whose gang is complete; release what an incomplete one holds for too long."""
        gang = requests.gang_of(pod)
        needed = 1 if gang is None else requests.gang_size(pod, self.cluster.succeeded.get(gang, 0))
        placed = 1 if gang is None else gangs.get(gang, 0)
        if placed >= needed:
            return partial(self._open, pod)
        if progress.closed_since is None:
            progress.closed_since = now
        if now - progress.closed_since < self.timeouts.bind_s:
            return None
        progress.closed_since = None
        return partial(self._release_incomplete, pod, record, f"{placed} of the {needed} members of its gang")

    async def _release_incomplete(self, pod: GpuPod, record: ClaimRecord, found: str) -> None:
        await self.pods.annotate(pod, {names.PLACED: None})
        await self.placements.release(record)
        message = f"only {found} have a place: its own was taken back, for others to use; it waits for the rest"
        log.warning("taken back", pod=pod.name, project=pod.namespace, why=message)
        await self.pods.waits(pod, "gang-incomplete", message)

    async def _give_way(self, pod: GpuPod, record: ClaimRecord, rival: ClaimRecord) -> None:
        why = f"its device is held by claim {rival.namespace}/{rival.name} too, which came first"
        log.error("two claims on one device", pod=pod.name, project=pod.namespace, rival=rival.name)
        if not record.reserved:
            await self.placements.release(record)
            self.recorder.about_pod(pod, "TakenBack", why, warning=True)
        elif pod.owner is not None:
            self.recorder.about_pod(pod, "Evicted", why, warning=True)
            await self.pods.evict(pod)

    def _unbound(self, pod: GpuPod, record: ClaimRecord, progress: PodProgress, now: float) -> Action | None:
        condition = pod.scheduled
        refused = condition is not None and condition.status == "False" and condition.reason == "Unschedulable"
        if not refused or record.reserved:
            progress.refused_since = None
            return None
        if progress.refused_since is None:
            progress.refused_since = now
        if now - progress.refused_since < self.timeouts.bind_s:
            return None
        progress.refused_since = None
        return partial(self._release, pod, record, condition.message if condition else "")

    async def _release(self, pod: GpuPod, record: ClaimRecord, why: str) -> None:
        assert record.grant is not None
        node = record.grant.node
        noted = exclusions.add(pod.annotations.get(names.EXCLUDED), node, why, self.clock())
        await self.pods.annotate(pod, {names.EXCLUDED: noted, names.PLACED: None})
        await self.placements.release(record)
        message = f"kube-scheduler could not bind it to {node}: {why}"
        log.warning("taken back", pod=pod.name, project=pod.namespace, node=node, why=why)
        await self.pods.waits(pod, "taken-back", message)

    def _unprepared(self, pod: GpuPod, record: ClaimRecord, progress: PodProgress, now: float) -> Action | None:
        node = self.cluster.get(GpuNode, pod.node)
        report = node.status.report if node else None
        if report is not None and record.uid in report.held:
            return None
        if progress.bound_since is None:
            progress.bound_since = now
            return None
        ready = node is not None and node.status.ready and self.cluster.agent_ready(pod.node) is not False
        if ready and pod.owner is not None and now - progress.bound_since > self.timeouts.give_up_s:
            progress.bound_since = now
            return partial(self._give_up, pod)
        if pod.started is None:  # kubelet has not come to it yet: there is nothing that it could try again
            return None
        if progress.nudge_at is None:
            progress.nudge_at = now + self.timeouts.nudge_s
        if now < progress.nudge_at:
            return None
        progress.nudges += 1
        pause = min(self.timeouts.longest_nudge_s, self.timeouts.nudge_s * 2.0 ** min(progress.nudges, 10))
        progress.nudge_at = now + pause
        return partial(self.pods.annotate, pod, {names.NUDGED: self.clock().isoformat()})

    async def _give_up(self, pod: GpuPod) -> None:
        why = f"the agent on {pod.node} has not prepared its devices for {self.timeouts.give_up_s:.0f} s"
        self.recorder.about_pod(pod, "CouldNotPrepare", why, warning=True)
        await self.pods.evict(pod)
