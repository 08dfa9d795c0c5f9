"""Apply: carry out a plan, one step after another, each checked again on the newest state.

Steps of the plan that touch hardware (destroy, create) are the node agent's: it carries them out
when it prepares the claim that they make room for, in one transaction per GPU. Here a plan
becomes writes to the control plane: nominations, evictions and allocations.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import ControlPlane, ControlPlaneError
from migctl.clock import Clock
from migctl.controller import observe
from migctl.objects import Claim, GpuNode, StepState, to_builtins
from nodeagent.contract.allocation import NodeReport
from solver.model.cluster import Gpu
from solver.model.demand import DeviceShare, Grant
from solver.model.occupation import all_occupied, conflict
from solver.model.plan import Assign, Evict, Placed, Plan
from solver.model.snapshot import Snapshot

Verdict = tuple[StepState, str]
MAX_CONCURRENT_WRITES = 16
STEPS_AT_ONCE = 100
_THIS = "this"
"""The claim whose grant is looked at, while it is laid over a GPU."""
"""Then others on the event loop have their turn."""


class Applier:
    """The only writer of allocations; not reentrant.

    stopped  is called with every claim that was stopped to be moved, and its new place
    Assignments are checked one after another and written concurrently: each is a write of its own object.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        mirror: ObjectView,
        clock: Clock,
        stopped: Callable[[Claim, Grant], None] = lambda claim, place: None,
    ) -> None:
        self._control_plane = control_plane
        self._mirror = mirror
        self._clock = clock
        self._stopped = stopped
        self._writing = asyncio.Semaphore(MAX_CONCURRENT_WRITES)

    async def apply(self, plan: Plan, state: Snapshot) -> dict[int, Verdict]:
        """Carry out what can be; the verdict on every eviction and assignment, by step position.

        state: what the plan was made from
        """
        claims = self._mirror.all(Claim)
        room = Room(state, claims, lambda name: self._mirror.get(GpuNode, name))
        names = {claim.meta.uid: claim.meta for claim in claims}

        def newest(uid: str) -> Claim | None:
            meta = names.get(uid)
            found = meta and self._mirror.get(Claim, meta.name, meta.project)
            return found if found and found.meta.uid == uid else None

        await self._nominate(plan, newest)
        moves = {step.claim: step.grant for step in plan.steps if isinstance(step, Assign)}
        verdicts: dict[int, Verdict] = {}
        writing: dict[int, asyncio.Task[Verdict]] = {}
        async with asyncio.TaskGroup() as tasks:
            for position, step in enumerate(plan.steps):
                if position % STEPS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if isinstance(step, Evict):
                    verdicts[position] = await self._evict(
                        newest(step.claim), newest(step.beneficiary), step, moves.get(step.claim)
                    )
                elif isinstance(step, Assign):
                    claim = newest(step.claim)
                    verdicts[position] = self._check(claim, step, plan, room)
                    if claim is not None and verdicts[position][0] is StepState.ACCEPTED:
                        room.occupy(step.claim, step.grant)
                        writing[position] = tasks.create_task(self._assign(claim, step, plan))
        return verdicts | {position: task.result() for position, task in writing.items()}

    async def _nominate(self, plan: Plan, newest: Callable[[str], Claim | None]) -> None:
        """Mark the room that evictions will free, before the first of them, so that no other claim is placed there."""
        for uid, outcome in plan.outcomes.items():
            if isinstance(outcome, Placed) and outcome.waits_for:
                claim = newest(uid)
                if claim is not None and claim.status.nomination != outcome.grant:
                    await self._write(claim, {"nomination": to_builtins(outcome.grant)})

    async def _evict(
        self, claim: Claim | None, beneficiary: Claim | None, step: Evict, moves_to: Grant | None
    ) -> Verdict:
        """Stop a claim for another one; the nomination of a moved claim is its successor's."""
        if claim is None or claim.status.allocation is None:
            return StepState.REJECTED, "it holds nothing any more"
        if claim.meta.deleting is not None:
            return StepState.ACCEPTED, ""
        if step.beneficiary and (beneficiary is None or not observe.waits(beneficiary)):
            return StepState.REJECTED, "the claim it was for does not wait any more"
        try:
            status = {"evicted": step.why, "reason": "Moved" if moves_to else "Preempted", "message": step.why}
            await self._write(claim, {**status, "nomination": to_builtins(moves_to) if moves_to else None})
            await self._control_plane.delete(claim)
        except ControlPlaneError as error:
            await self._restore(claim)
            return StepState.REJECTED, str(error)
        if moves_to is not None:
            self._stopped(claim, moves_to)
        await self._refresh(claim)
        return StepState.ACCEPTED, ""

    def _check(self, claim: Claim | None, step: Assign, plan: Plan, room: Room) -> Verdict:
        """Whether the assignment can be made now."""
        outcome = plan.outcomes.get(step.claim)
        if not isinstance(outcome, Placed) or outcome.waits_for:
            return StepState.PROPOSED, "after the evictions"
        if claim is None or not observe.waits(claim):
            return StepState.REJECTED, "it does not wait any more"
        taken = room.conflict(step.grant)
        return (StepState.REJECTED, taken) if taken else (StepState.ACCEPTED, "")

    async def _assign(self, claim: Claim, step: Assign, plan: Plan) -> Verdict:
        outcome = plan.outcomes[step.claim]
        status = {
            "allocation": to_builtins(step.grant),
            "allocated": to_builtins(self._clock()),
            "nomination": None,
            "rounded": outcome.rounded if isinstance(outcome, Placed) else "",
            "reason": "Allocated",
            "message": "",
        }
        try:
            async with self._writing:
                await self._write(claim, status)
        except ControlPlaneError as error:
            return StepState.REJECTED, str(error)
        return StepState.ACCEPTED, ""

    async def _restore(self, claim: Claim) -> None:
        """Restore the status of a claim whose eviction was refused."""
        before = claim.status
        nomination = to_builtins(before.nomination)
        status = {"evicted": "", "reason": before.reason, "message": before.message, "nomination": nomination}
        with contextlib.suppress(ControlPlaneError):
            await self._mirror.absorb(await self._control_plane.patch(claim, {"status": status}))

    async def _write(self, claim: Claim, status: Mapping[str, Any]) -> None:
        await self._mirror.absorb(await self._control_plane.patch(claim, {"status": dict(status)}, fenced=True))

    async def _refresh(self, claim: Claim) -> None:
        """Cache the claim's state now, before its watch event."""
        with contextlib.suppress(ControlPlaneError):
            await self._mirror.absorb(await self._control_plane.get(Claim, claim.meta.name, claim.meta.project))


class Room:
    """The occupation while a plan is applied: the shares of claims and those accepted since, over what is reported.

    state   says which nodes were ready
    newest  the node's object as it is now: a GPU that was switched, fenced or lost while the plan was made is seen
    """

    def __init__(self, state: Snapshot, claims: Iterable[Claim], newest: Callable[[str], GpuNode | None]) -> None:
        self._newest = newest
        self._ready = {node.name for node in state.nodes if node.ready}
        self._gpus: dict[str, Gpu] = {}
        self._reports: dict[str, NodeReport] = {}
        self._shares: defaultdict[str, list[tuple[str, DeviceShare]]] = defaultdict(list)
        for claim, grant in observe.grants(claims):
            for share in grant.devices:
                self._shares[share.gpu].append((claim, share))

    def conflict(self, grant: Grant) -> str:
        """Why the grant cannot be given, "" where it can."""
        node = self._newest(grant.node)
        report = node.status.report if node else None
        if grant.node not in self._ready or node is None or report is None or not node.status.ready:
            return f"node {grant.node} is not ready"
        if node.spec.cordoned:
            return f"node {grant.node} is cordoned"
        if self._reports.get(grant.node) is not report:
            self._read(report)
        own: defaultdict[str, list[tuple[str, DeviceShare]]] = defaultdict(list)
        for share in grant.devices:
            if why := self._conflict(share, own[share.gpu], report):
                return why
            own[share.gpu].append((_THIS, share))
        return ""

    def _read(self, report: NodeReport) -> None:
        """Lay the shares over a report that is new."""
        before = self._reports.get(report.node)
        for gpu in before.gpus if before else ():
            self._gpus.pop(gpu.uuid, None)
        self._reports[report.node] = report
        for gpu in report.gpus:
            self._gpus[gpu.uuid] = all_occupied(gpu, self._shares[gpu.uuid])

    def _conflict(self, share: DeviceShare, own: Sequence[tuple[str, DeviceShare]], report: NodeReport) -> str:
        """own: what the same grant has on the GPU already."""
        gpu = self._gpus.get(share.gpu)
        if gpu is None:
            return f"GPU {share.gpu} is no longer there"
        return conflict(all_occupied(gpu, own), share, report.models.get(gpu.model))

    def occupy(self, claim: str, grant: Grant) -> None:
        """Add a grant that was accepted."""
        for share in grant.devices:
            self._shares[share.gpu].append((claim, share))
        for uuid in {share.gpu for share in grant.devices}:
            mine = ((claim, share) for share in grant.devices if share.gpu == uuid)
            self._gpus[uuid] = all_occupied(self._gpus[uuid], mine)
