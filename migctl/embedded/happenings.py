"""What happened on this machine, as events: ends, failures, back-off, and what nodes see of their GPUs.

They are read off the changes of objects, so that no part that makes a change can forget to tell it. What happened
while nobody looked, and is over, is told of workloads that ended lately.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from migctl.backends.event_log import EventLog
from migctl.backends.mirror import ObjectView
from migctl.backends.workload_status import DRAINED
from migctl.clock import Clock
from migctl.objects import Claim, GpuNode, Phase, Workload

LATELY = timedelta(minutes=10)


@dataclass(frozen=True)
class Happening:
    """One event to be. `name`: of the workload or node that it is about.

    moment: of what is told again after a restart, as nobody remembers that it was told; "" for all else
    """

    kind: str
    name: str
    reason: str
    message: str
    project: str = ""
    uid: str = ""
    warning: bool = False
    moment: str = ""


@dataclass(frozen=True)
class Seen:
    """What was seen of all objects at one moment, by uid; nodes by name."""

    workloads: Mapping[str, Workload] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)
    nodes: Mapping[str, GpuNode] = field(default_factory=dict)

    @classmethod
    def now(cls, mirror: ObjectView) -> Seen:
        """What the mirror has."""
        return cls(
            {workload.meta.uid: workload for workload in mirror.all(Workload)},
            {claim.meta.uid: claim for claim in mirror.all(Claim)},
            {node.meta.name: node for node in mirror.all(GpuNode)},
        )


class Happenings:
    """Records what happens, from one look to the next."""

    def __init__(self, mirror: ObjectView, log: EventLog, clock: Clock) -> None:
        self._mirror = mirror
        self._log = log
        self._clock = clock

    async def run(self) -> None:
        """Record what happens until cancelled."""
        generation, before = -1, None
        while True:
            generation = await self._mirror.wait(generation)
            if not self._mirror.synced:
                continue
            after = Seen.now(self._mirror)
            told = happenings(self._lately(after) if before is None else before, after)
            for one in list(told):
                about = f"{one.kind}/{one.name}"
                await self._log.record(
                    about,
                    one.project,
                    one.reason,
                    one.message,
                    uid=one.uid,
                    warning=one.warning,
                    happening=one.moment,
                )
            before = after

    def _lately(self, seen: Seen) -> Seen:
        """The same without the workloads that have ended lately."""
        since = self._clock() - LATELY
        kept = {
            uid: workload
            for uid, workload in seen.workloads.items()
            if workload.status.finished is None or workload.status.finished < since
        }
        return Seen(kept, seen.claims, seen.nodes)


def happenings(before: Seen, after: Seen) -> Iterator[Happening]:
    """What happened between two looks."""
    for uid, claim in after.claims.items():
        yield from _of_claim(before.claims.get(uid), claim)
    for uid, workload in after.workloads.items():
        yield from _of_workload(before.workloads.get(uid), workload)
    for name, node in after.nodes.items():
        if name in before.nodes:
            yield from _of_node(before.nodes[name], node, after)


def _of_claim(before: Claim | None, now: Claim) -> Iterator[Happening]:
    if before is not None and now.status.reason == DRAINED != before.status.reason:
        yield _about_workload(now, DRAINED, now.status.evicted, warning=True)
    old = before.status.phase if before else Phase.PENDING
    if now.status.phase is old:
        return
    pod = f"pod {now.spec.workload}-{now.spec.index}"
    if now.status.phase is Phase.RUNNING and now.status.allocation is not None:
        yield _about_workload(now, "Started", f"{pod} runs on {now.status.allocation.node}")
    elif now.status.phase is Phase.FAILED:
        yield _about_workload(now, "PodFailed", f"{pod}: {now.status.message}", warning=True)


def _about_workload(claim: Claim, reason: str, message: str, warning: bool = False) -> Happening:
    spec = claim.spec
    return Happening("Workload", spec.workload, reason, message, claim.meta.project, spec.workload_uid, warning)


def _of_workload(before: Workload | None, now: Workload) -> Iterator[Happening]:
    old, new = (before.status if before else None), now.status

    def happening(reason: str, message: str, warning: bool = False) -> Happening:
        return Happening("Workload", now.meta.name, reason, message, now.meta.project, now.meta.uid, warning, moment)

    moment = new.finished.isoformat() if new.finished else ""
    if new.phase is Phase.COMPLETED and (old is None or old.phase is not new.phase):
        yield happening("Completed", f"{new.succeeded} of its pods succeeded")
    if new.phase is Phase.FAILED and (old is None or old.phase is not new.phase):
        yield happening(new.reason or "Failed", new.message, warning=True)
    if new.reason == "BackOff" and (old is None or old.reason != "BackOff"):
        yield happening("BackOff", new.message, warning=True)
    if before is not None and before.spec.suspended != now.spec.suspended:
        yield happening("Suspended" if now.spec.suspended else "Resumed", "as it was asked for")


def _of_node(before: GpuNode, now: GpuNode, seen: Seen) -> Iterator[Happening]:
    name = now.meta.name
    if before.status.ready != now.status.ready:
        reason = "NodeReady" if now.status.ready else "NodeNotReady"
        yield Happening("Node", name, reason, now.status.message or "its agent's reports", warning=not now.status.ready)
    if before.spec.cordoned != now.spec.cordoned:
        reason = "NodeNotSchedulable" if now.spec.cordoned else "NodeSchedulable"
        yield Happening("Node", name, reason, "cordoned: nothing new" if now.spec.cordoned else "new work may come")
    old, new = before.status.report, now.status.report
    if old is None or new is None:
        return
    fenced = {gpu.uuid: gpu.fenced for gpu in old.gpus}
    for gpu in new.gpus:
        if bool(gpu.fenced) == bool(fenced.get(gpu.uuid)):
            continue
        reason = "GpuFenced" if gpu.fenced else "GpuBack"
        message = f"GPU {name}/{gpu.index}: {gpu.fenced or 'work may be placed on it again'}"
        yield Happening("Node", name, reason, message, warning=bool(gpu.fenced))
        for claim in seen.claims.values():
            shares = claim.status.allocation.devices if claim.status.allocation else ()
            if gpu.fenced and any(share.gpu == gpu.uuid for share in shares):
                yield _about_workload(claim, reason, message, warning=True)
    for key in new.notes.keys() - old.notes.keys():
        noted = seen.claims.get(key)
        text = new.notes[key]
        if noted is not None:
            yield _about_workload(noted, "Noted", text, warning=True)
        else:
            yield Happening("Node", name, "Noted", f"{key}: {text}", warning=True)
