"""The control loop: observe, plan, apply, publish.

A cycle runs for every change of the cached objects, and not before all of them are listed. A cycle that
changes nothing writes nothing, so the loop comes to rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import ControlPlane, ControlPlaneError
from migctl.clock import Clock
from migctl.controller import observe, publish, queue_status, queues
from migctl.controller.apply import Applier, Verdict
from migctl.objects import NodePool, StepState
from solver.model.plan import Assign, Evict, Placed, Plan
from solver.model.snapshot import Policy, Snapshot

log = structlog.get_logger()

Observer = Callable[[datetime], Snapshot]
Planner = Callable[[Snapshot, Policy], Plan]
RESYNC_S = 5.0
RETRY_S = 0.5


@dataclass
class Controller:
    """Runs one cycle after another.

    planner    migctl.solver_process.planning.plan; another one in tests of the loop itself
    observer   makes the snapshots, where the mirror alone is not enough
    monotonic  seconds, for durations
    """

    control_plane: ControlPlane
    mirror: ObjectView
    clock: Clock
    planner: Planner
    policy: Policy = field(default_factory=Policy)
    observer: Observer | None = None
    monotonic: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        if self.observer is None:
            self.observer = observe.Observer(self.mirror)

    def observe(self) -> Snapshot:
        """The cluster now."""
        assert self.observer is not None
        return self.observer(self.clock())

    def applier(self) -> Applier:
        """What carries out this controller's plans."""
        return Applier(self.control_plane, self.mirror, self.clock, self.observe)

    async def run(self) -> None:
        """Run a cycle for every change and every RESYNC_S, until cancelled."""
        applier = self.applier()
        seen = -1
        while True:
            seen = await self.mirror.wait(seen, RESYNC_S)
            if self.mirror.synced:
                try:
                    await self.cycle(applier)
                except ControlPlaneError as error:
                    log.warning("a plan was not carried out completely; planning again", error=str(error))
                    await asyncio.sleep(RETRY_S)
                    seen = -1

    async def cycle(self, applier: Applier) -> Plan | None:
        """One cycle; its plan, None where nothing is pending."""
        state = self.observe()
        plan = None
        if state.pending:
            started = self.monotonic()
            policy = queues.policy(self.policy, self.mirror.all(NodePool))
            plan = await asyncio.to_thread(self.planner, state, policy)
            milliseconds = (self.monotonic() - started) * 1000
            verdicts = await applier.apply(plan)
            await self._publish(state, plan, verdicts, milliseconds)
        await queue_status.publish(self.control_plane, self.mirror, self.observe())
        return plan

    async def _publish(self, state: Snapshot, plan: Plan, verdicts: dict[int, Verdict], milliseconds: float) -> None:
        await publish.reasons(self.control_plane, self.mirror, plan)
        if any(verdict[0] is StepState.ACCEPTED for verdict in verdicts.values()) and not _repeated(state, plan):
            stored = await publish.record(self.control_plane, state, plan, verdicts, milliseconds)
            await publish.events(self.control_plane, state, plan, verdicts)
            if note := plan.certificate.note:
                about = f"Plan/{stored.meta.name}"
                await publish.event(self.control_plane, about, "", "SolverFellBack", note, warning=True)
            log.info("planned", steps=len(plan.steps), milliseconds=round(milliseconds, 1))


def _repeated(state: Snapshot, plan: Plan) -> bool:
    """Whether the plan only waits for evictions that an earlier plan has requested."""
    leaving = {holding.request.claim for holding in state.held if holding.releasing}
    return not any(
        (isinstance(step, Evict) and step.claim not in leaving)
        or (isinstance(step, Assign) and isinstance(o := plan.outcomes.get(step.claim), Placed) and not o.waits_for)
        for step in plan.steps
    )
