"""The control loop: observe, plan, apply, publish.

A cycle runs for every change of the cached objects, and not before all of them are listed. A cycle that
changes nothing writes nothing, so the loop comes to rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

import structlog

from migctl.backends.event_log import EventLog
from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import ControlPlane, ControlPlaneError
from migctl.clock import Clock
from migctl.controller import observe, publish, queue_status, queues
from migctl.controller.apply import Applier, Verdict
from migctl.controller.names import Names
from migctl.controller.proposals import moves_of
from migctl.garbage_collection import uncollected
from migctl.objects import Claim, NodePool, StepState, Workload
from solver.model.demand import Grant
from solver.model.plan import Assign, Evict, Placed, Plan
from solver.model.snapshot import Policy, Snapshot

log = structlog.get_logger()

C = TypeVar("C")
Planner = Callable[[Snapshot, Policy], Plan]
RESYNC_S = 5.0
RETRY_S = 0.5


class Observing(Protocol[C]):
    """Makes snapshots: what is read at one moment, and what is made of it beside the event loop."""

    def capture(self) -> C: ...

    def snapshot(self, seen: C, now: datetime) -> Snapshot: ...

    def imagined(self, seen: C, workload: Workload, now: datetime) -> C:
        """What was captured, with the first pods of a workload that is not there."""
        ...

    def stopped(self, claim: Claim, place: Grant) -> None:
        """A claim was stopped to be moved there."""
        ...


@dataclass(frozen=True, slots=True)
class MadePlan:
    """A plan, what it says to those who wait, and how long it took."""

    plan: Plan
    reasons: publish.Reasons
    milliseconds: float


@dataclass
class Controller:
    """Runs one cycle after another.

    planner    migctl.solver_process.planning.plan; another one in tests of the loop itself
    observer   makes the snapshots, where the mirror alone is not enough
    monotonic  seconds, for durations
    turn       held by whoever decides and applies: one at a time
    """

    control_plane: ControlPlane
    mirror: ObjectView
    clock: Clock
    planner: Planner
    policy: Policy = field(default_factory=Policy)
    observer: Observing[Any] | None = None
    monotonic: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        if self.observer is None:
            self.observer = observe.Observer(self.mirror)
        self.turn = asyncio.Lock()

    def observe(self) -> Snapshot:
        """The cluster now."""
        assert self.observer is not None
        return self._snapshot(self.observer.capture(), self.clock())

    def applier(self) -> Applier:
        """What carries out this controller's plans."""
        assert self.observer is not None
        return Applier(self.control_plane, self.mirror, self.clock, self.observer.stopped)

    async def run(self) -> None:
        """Run a cycle for every change and every RESYNC_S, until cancelled."""
        applier = self.applier()
        seen = -1
        while True:
            seen = await self.mirror.wait(seen, RESYNC_S)
            if self.mirror.synced:
                try:
                    async with self.turn:
                        await self.cycle(applier)
                except ControlPlaneError as error:
                    log.warning("a plan was not carried out completely; planning again", error=str(error))
                    await asyncio.sleep(RETRY_S)
                    seen = -1

    async def cycle(self, applier: Applier) -> Plan | None:
        """One cycle; its plan, None where nothing is pending.

        Only what reads the mirror or writes runs on the event loop; what grows with the cluster runs beside it.
        """
        state = await self.observed()
        decision = None
        if state.pending:
            policy = queues.policy(self.policy, self.mirror.all(NodePool))
            decision = await asyncio.to_thread(self._decide, state, policy)
            verdicts = await applier.apply(decision.plan, state)
            await self._publish(state, decision, verdicts)
            state = await self.observed()
        await queue_status.publish(self.control_plane, self.mirror, state)
        return decision.plan if decision else None

    async def caught_up(self) -> None:
        """Wait until every kind of object has been listed: before that nothing is decided."""
        seen = -1
        while not self.mirror.synced:
            seen = await self.mirror.wait(seen, RESYNC_S)

    async def observed(self) -> Snapshot:
        """The cluster now, made beside the event loop."""
        assert self.observer is not None
        return await asyncio.to_thread(self._snapshot, self.observer.capture(), self.clock())

    def _snapshot(self, seen: Any, now: datetime) -> Snapshot:
        assert self.observer is not None
        with uncollected():
            return self.observer.snapshot(seen, now)

    def _decide(self, state: Snapshot, policy: Policy) -> MadePlan:
        """A plan with all of its steps, outcomes and reasons made."""
        started = self.monotonic()
        plan = self.planner(state, policy)
        milliseconds = (self.monotonic() - started) * 1000
        with uncollected():
            plan = replace(plan, steps=tuple(plan.steps), outcomes=dict(plan.outcomes))
            return MadePlan(plan, publish.reasons_of(plan), milliseconds)

    async def _publish(self, state: Snapshot, decision: MadePlan, verdicts: dict[int, Verdict]) -> None:
        plan = decision.plan
        await publish.reasons(self.control_plane, self.mirror, decision.reasons)
        if any(accepted(verdicts, i) for i in verdicts) and not _repeated(state, plan):
            names = await asyncio.to_thread(Names, state)
            moves = await asyncio.to_thread(
                moves_of, state, self.mirror.all(Claim), names, plan, lambda i: accepted(verdicts, i)
            )
            stored = await publish.record(self.control_plane, names, plan, verdicts, decision.milliseconds, moves)
            events = EventLog(self.control_plane, self.clock)
            await publish.events(events, self.mirror, names, state, plan, verdicts)
            if note := plan.certificate.note:
                about = f"Plan/{stored.meta.name}"
                await events.record(about, "", "SolverFellBack", note, uid=stored.meta.uid, warning=True)
            log.info("planned", steps=len(plan.steps), milliseconds=round(decision.milliseconds, 1))


def accepted(verdicts: Mapping[int, Verdict], position: int) -> bool:
    """Whether the step at a position was carried out."""
    return verdicts.get(position, (StepState.PROPOSED, ""))[0] is StepState.ACCEPTED


def _repeated(state: Snapshot, plan: Plan) -> bool:
    """Whether the plan only waits for evictions that an earlier plan has requested."""
    leaving = {holding.request.claim for holding in state.held if holding.releasing}
    return not any(
        (isinstance(step, Evict) and step.claim not in leaving)
        or (isinstance(step, Assign) and isinstance(o := plan.outcomes.get(step.claim), Placed) and not o.waits_for)
        for step in plan.steps
    )
