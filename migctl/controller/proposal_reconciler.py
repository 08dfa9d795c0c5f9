"""Carries out proposals: plans that somebody saved, and that somebody who may change plans wants applied.

A proposal is checked again, whole, on the newest state, and is carried out by the same applier as every decision,
between two of its cycles. Where any of it is not legal any more nothing is done, and the plan says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from migctl.backends.event_log import EventLog
from migctl.backends.protocol import ChangeType, ControlPlane, ControlPlaneError, Expired
from migctl.controller import publish
from migctl.controller.apply import Verdict
from migctl.controller.loop import Controller
from migctl.controller.names import Names
from migctl.controller.proposals import Obstacle, check, requested
from migctl.objects import APPLIED, PARTLY_APPLIED, REJECTED, Claim, PlacementPlan, StepState

log = structlog.get_logger()

RETRY_S = 5.0
LONGEST_MESSAGE = 2000


class ProposalReconciler:
    """Applies what is requested, one proposal after another, in turn with the controller's own decisions.

    proposals  where they are watched; at least those that are labelled
    """

    def __init__(self, controller: Controller, proposals: ControlPlane) -> None:
        self._controller = controller
        self._proposals = proposals

    async def run(self) -> None:
        """Follow the proposals until cancelled."""
        while True:
            try:
                await self._follow()
            except Expired:
                continue
            except ControlPlaneError as error:
                log.warning("proposals are not followed", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        listing = await self._proposals.list(PlacementPlan)
        for plan in listing.items:
            await self.reconcile(plan)
        async for change in self._proposals.watch(PlacementPlan, listing.version):
            if change.type is not ChangeType.DELETED:
                await self.reconcile(change.object)

    async def reconcile(self, plan: PlacementPlan) -> None:
        """Apply a proposal that is requested, or say why it is not applied."""
        if not requested(plan):
            return
        controller = self._controller
        async with controller.turn:
            await controller.caught_up()
            state = await controller.observed()
            claims = controller.mirror.all(Claim)
            found = await asyncio.to_thread(check, plan, state, claims)
            if found.obstacles:
                await self._say(plan, REJECTED, _listed(found.obstacles))
                return
            decided = found.relocations.plan
            verdicts = await controller.applier().apply(decided, state)
            names = await asyncio.to_thread(Names, state)
            events = EventLog(controller.control_plane, controller.clock)
            await publish.events(events, controller.mirror, names, state, decided, verdicts)
        await self._say(plan, *_outcome(verdicts))

    async def _say(self, plan: PlacementPlan, phase: str, message: str) -> None:
        log.info("proposal", plan=plan.meta.name, phase=phase, message=message)
        status = {"phase": phase, "message": message[:LONGEST_MESSAGE]}
        await self._proposals.patch(plan, {"status": status})


def _outcome(verdicts: Mapping[int, Verdict]) -> tuple[str, str]:
    rejected = [why for verdict, why in verdicts.values() if verdict is StepState.REJECTED]
    if not rejected:
        return APPLIED, ""
    some = any(verdict is StepState.ACCEPTED for verdict, _ in verdicts.values())
    return PARTLY_APPLIED if some else REJECTED, "; ".join(dict.fromkeys(rejected))


def _listed(obstacles: Iterable[Obstacle]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in obstacles)
