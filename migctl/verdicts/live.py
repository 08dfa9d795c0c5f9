"""Verdicts on the cached objects that a running controller decides on, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, TypeVar

from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import AlreadyExists, Unavailable
from migctl.clock import Clock
from migctl.controller import queues
from migctl.controller.loop import Observing, Planner
from migctl.garbage_collection import uncollected
from migctl.objects import Claim, GpuNode, NodePool, Project, Workload, WorkloadVerdict
from migctl.verdicts.deciding import admitted, decided
from migctl.verdicts.hiding import Sees, everything, shown
from solver.model.reasons import Unplaced
from solver.model.snapshot import Policy

X = TypeVar("X")

MOST_WAITING = 64
"""More callers than that are told to come again."""


class Verdicts:
    """Says what the controller would do with a workload now. Nothing is created.

    observer  one of its own: it keeps what has not changed since its last snapshot
    policy    the controller's
    """

    def __init__(
        self,
        mirror: ObjectView,
        clock: Clock,
        planner: Planner,
        observer: Observing[Any],
        policy: Policy | None = None,
    ) -> None:
        self._mirror, self._clock, self._planner, self._observer = mirror, clock, planner, observer
        self._policy = policy or Policy()
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def __call__(self, workload: Workload, sees: Sees = everything) -> WorkloadVerdict:
        """The verdict. sees: whether the caller may see what is in a project; what he may not is not named.

        Raises what admission refuses the workload for, AlreadyExists where its name is taken, Unavailable.
        """
        if not self._mirror.synced:
            raise Unavailable("the controller has not seen all objects yet", hint="try again in a moment")
        workload = self._admitted(workload)
        return await self._in_turn(lambda seen, policy: self._decided(seen, workload, policy, self._clock(), sees))

    async def unplaced(self, claims: Collection[str], sees: Sees = everything) -> dict[str, Unplaced]:
        """Why these claims have no place, decided on the state of this moment; nothing for those that have one.

        sees: whether the caller may see what is in a project; what he may not is not named. Raises Unavailable.
        """
        return await self._in_turn(lambda seen, policy: self._unplaced(seen, claims, policy, sees))

    async def _in_turn(self, decide: Callable[[Any, Policy], X]) -> X:
        """A decision on the objects of now, on a thread. Raises Unavailable where too many wait for theirs."""
        if not self._mirror.synced:
            raise Unavailable("the controller has not seen all objects yet", hint="try again in a moment")
        if self._waiting >= MOST_WAITING:
            raise Unavailable("too many ask for verdicts at once", hint="try again in a moment")
        self._waiting += 1
        try:
            async with self._turn:
                policy = queues.policy(self._policy, self._mirror.all(NodePool))
                return await asyncio.to_thread(decide, self._observer.capture(), policy)
        finally:
            self._waiting -= 1

    def _unplaced(self, seen: Any, claims: Collection[str], policy: Policy, sees: Sees) -> dict[str, Unplaced]:
        with uncollected():
            state = self._observer.snapshot(seen, self._clock())
            outcomes = self._planner(state, policy).outcomes
            found = {uid: outcome for uid in claims if isinstance(outcome := outcomes.get(uid), Unplaced)}
            told = {id(reason): shown(reason, state, sees) for reason in found.values()}
            return {uid: told[id(reason)] for uid, reason in found.items()}

    def _admitted(self, workload: Workload) -> Workload:
        """The workload as admission would store it."""
        mirror, meta = self._mirror, workload.meta
        workload = admitted(workload, mirror.all(Project), mirror.all(GpuNode), mirror.all(NodePool))
        if mirror.get(Workload, meta.name, meta.project) is not None:
            raise AlreadyExists(f"workload {meta.name!r} exists already")
        return workload

    def _decided(self, seen: Any, workload: Workload, policy: Policy, now: datetime, sees: Sees) -> WorkloadVerdict:
        return decided(self._observer, seen, workload, self._planner, policy, now, self._users_of, sees)

    def _users_of(self, claims: Collection[str]) -> Mapping[str, str]:
        found = (claim for claim in self._mirror.all(Claim) if claim.meta.uid in claims)
        workloads = ((c.meta.uid, self._mirror.get(Workload, c.spec.workload, c.meta.project)) for c in found)
        return {uid: workload.spec.user for uid, workload in workloads if workload is not None}
