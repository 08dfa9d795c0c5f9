"""Verdicts on the cached objects that a running controller decides on, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import AlreadyExists, Unavailable
from migctl.clock import Clock
from migctl.controller import queues
from migctl.controller.loop import Observing, Planner
from migctl.objects import Claim, GpuNode, NodePool, Project, Workload, WorkloadVerdict
from migctl.verdicts.deciding import admitted, decided
from migctl.verdicts.hiding import Sees, everything
from solver.model.snapshot import Policy

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
        if self._waiting >= MOST_WAITING:
            raise Unavailable("too many ask for verdicts at once", hint="try again in a moment")
        self._waiting += 1
        try:
            async with self._turn:
                seen, now = self._observer.capture(), self._clock()
                policy = queues.policy(self._policy, self._mirror.all(NodePool))
                return await asyncio.to_thread(self._decided, seen, workload, policy, now, sees)
        finally:
            self._waiting -= 1

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
