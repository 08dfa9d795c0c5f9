"""Decisions one event at a time, on one working cluster: what a decision costs does not grow with the cluster.

    online = Online(snapshot)
    decision = online.decide(request)      the best place that is free now, None where there is none
    online.apply(decision, now)            it is given out; decision.steps says what to do on the GPU
    online.release(claim)                  the holder has left; its MIG instances stay behind, idle

Candidates and their scores are those of the planner that serves one request after another: both use
`working_copy.free_candidates`. Quotas, order and evictions are the planner's (`solver.planner.plan`).
"""

from __future__ import annotations

from dataclasses import dataclass

from solver.model.demand import Grant, Holding, Request
from solver.model.plan import Step
from solver.model.snapshot import Policy, Snapshot
from solver.working_copy.free_candidates import FreeCandidates
from solver.working_copy.gangs import Domain
from solver.working_copy.occupancy import Candidate, WorkingCluster
from solver.working_copy.steps import StepList

MOST_CHANGES = 100_000


class StaleDecision(Exception):
    """The cluster has changed since the decision was made: decide again."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """A place for a request, as long as nothing else happens (`at`: how many events had happened)."""

    request: Request
    candidates: tuple[Candidate, ...]
    at: int

    @property
    def grant(self) -> Grant:
        return Grant(self.candidates[0].gpu.reported.node, tuple(candidate.share for candidate in self.candidates))

    @property
    def operations(self) -> int:
        """MIG instances to create and to destroy."""
        return sum(candidate.creates + len(candidate.destroys) for candidate in self.candidates)

    @property
    def steps(self) -> list[Step]:
        """What to do, in order: idle instances in the way destroyed, the instance created, the claim assigned."""
        steps = StepList()
        steps.assign(self.request.claim, self.grant, self.candidates, ())
        return steps.steps


class Online:
    """A cluster that begins with the snapshot's holders and changes by events; pending requests are ignored."""

    def __init__(self, snapshot: Snapshot, policy: Policy | None = None) -> None:
        self.cluster = WorkingCluster(snapshot)
        self._places = FreeCandidates(self.cluster, policy or Policy())
        self._everywhere = Domain((), tuple(self.cluster.nodes.values()))
        self._events = 0

    def decide(self, request: Request) -> Decision | None:
        """The best place that is free now for every device of the request. Nothing changes."""
        candidates = self._places.best(request, self._everywhere)
        return Decision(request, tuple(candidates), self._events) if candidates else None

    def apply(self, decision: Decision, now: float = 0.0) -> Grant:
        """Give the place out. Raises StaleDecision when anything happened since the decision."""
        if decision.at != self._events:
            raise StaleDecision(f"a place for {decision.request.claim} was decided on before the cluster changed")
        grant = self.cluster.take(decision.request, decision.candidates)
        self.cluster.hold(Holding(decision.request, grant, now))
        self._happened()
        return grant

    def release(self, claim: str) -> None:
        """Take back what the claim holds. Raises KeyError where the claim holds nothing."""
        self.cluster.release(claim)
        self._happened()

    def _happened(self) -> None:
        self._events += 1
        if len(self.cluster.changes) > MOST_CHANGES:
            self._places.caught_up()
