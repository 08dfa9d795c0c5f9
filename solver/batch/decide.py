"""Decide for very many requests: those of one device together, the others one by one in their turn.

tiers      fair share, then priority (fairness.py)
together   all single-device requests of consecutive tiers, by one exact solve
in turn    gangs, several devices, affinities: one by one, before the solve of their tier
disrupt    the first few that were left out and for whom somebody may have to give way

The certificate's bound of a solve holds for what was free when its turn came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from solver.batch.batch_solver import BatchSolver, BatchSolverFailed
from solver.batch.columns.arrays import Ints, in_groups
from solver.batch.columns.gpu_columns import GpuColumns
from solver.batch.columns.held_columns import Holdings
from solver.batch.columns.request_columns import Requests
from solver.batch.fairness import REFUSED, Fairness
from solver.batch.formulate import Formulator
from solver.batch.greedy import greedy
from solver.batch.merge import after, merged, summed
from solver.batch.plan_columns import After, Outcomes, Steps
from solver.batch.problem import Problem, Solution
from solver.batch.share_assignment import assign_shares, work_of
from solver.model.demand import Request
from solver.model.plan import Certificate, Method, Outcome, Placed, Plan
from solver.model.reasons import Unplaced
from solver.model.snapshot import Policy, Snapshot

GAP_OF_OPTIMAL = 1e-9
MOST_DISRUPTIONS = 64
NO_SOLVER = "there is no exact solver; the greedy plan stands"
InTurn = Callable[[Snapshot, Policy], Plan]
ReasonsFor = Callable[[Snapshot, Policy, Sequence[Request]], Sequence[Unplaced]]


class Batch:
    """One decision.

    solver       None leaves the greedy plan
    in_turn      the planner that serves one request after another
    reasons_for  why requests have no place in a snapshot where nothing more is placed
    """

    def __init__(
        self,
        snapshot: Snapshot,
        policy: Policy,
        solver: BatchSolver | None,
        in_turn: InTurn,
        reasons_for: ReasonsFor,
    ) -> None:
        self._snapshot, self._policy, self._solver = snapshot, policy, solver
        self._in_turn, self._reasons_for = in_turn, reasons_for
        self._requests = Requests(snapshot.pending)
        holdings = Holdings(snapshot)
        self._gpus = GpuColumns(snapshot, holdings)
        self._fairness = Fairness(snapshot, self._gpus, holdings, self._requests)
        self._placed = np.zeros(len(snapshot.pending), dtype=bool)
        self._plans: list[Plan] = []
        self._now, self._laid = snapshot, 0
        self._said: dict[int, Outcome] = {}
        self._reasons: dict[int, Outcome] = {}

    def decide(self) -> Plan:
        """The plan for every pending request."""
        singles = np.array([_single(request) for request in self._requests.examples], dtype=bool)
        for alone, together in _turns(self._fairness.tier, singles[self._requests.kind]):
            if len(alone):
                self._serve_in_turn(alone)
            if len(together):
                self._serve_together(together)
        hopeful = self._hopeful()
        if len(hopeful) and self._policy.evictions:
            self._serve_in_turn(hopeful)
        reasons = Outcomes(self._requests, None, self._reason)
        if len(self._plans) == 1:
            plan = self._plans[0]
            return plan if isinstance(plan.outcomes, Outcomes) else replace(plan, outcomes={**reasons, **plan.outcomes})
        return merged(self._snapshot, self._plans, reasons, summed([plan.certificate for plan in self._plans]))

    def _serve_in_turn(self, positions: Ints) -> None:
        waiting = tuple(self._snapshot.pending[i] for i in positions.tolist())
        plan = self._in_turn(replace(self._current(), pending=waiting), self._policy)
        for position, request in zip(positions.tolist(), waiting, strict=True):
            outcome = plan.outcomes[request.claim]
            self._placed[position] = isinstance(outcome, Placed)
            self._said[position] = outcome
        self._plans.append(plan)

    def _serve_together(self, positions: Ints) -> None:
        if self._plans:
            holdings = Holdings(self._current())
            self._gpus = GpuColumns(self._current(), holdings)
            self._fairness.rebook(self._current(), self._gpus, holdings)
        formulation = Formulator(self._gpus, self._requests, self._fairness, self._policy).build(
            positions, self._policy.improve_s
        )
        if not formulation.sites:
            return
        answer, method = self._answer(formulation.problem)
        shares = assign_shares(formulation, answer, self._gpus, self._requests)
        self._placed[shares.request] = True
        work = work_of(shares, self._gpus)
        steps = Steps(self._gpus, self._requests, formulation, shares, work)
        operations = len(work.create_row) + len(work.destroy_row)
        certificate = Certificate(
            method, answer.weight, answer.weight_bound, operations, int(answer.operations_bound), answer.note
        )
        outcomes = Outcomes(self._requests, steps, self._reason)
        self._plans.append(Plan(steps, After(steps, self._gpus), outcomes, certificate))

    def _answer(self, problem: Problem) -> tuple[Solution, Method]:
        if self._solver is None:
            return greedy(problem, NO_SOLVER), Method.GREEDY
        try:
            answer = self._solver.solve(problem, self._policy.wall_clock_s)
        except BatchSolverFailed as failure:
            return greedy(problem, str(failure)), Method.GREEDY
        optimal = answer.weight_bound - answer.weight <= GAP_OF_OPTIMAL
        return answer, Method.OPTIMAL if optimal else Method.BOUNDED

    def _current(self) -> Snapshot:
        """The snapshot with what the plans so far give and take laid over it."""
        for plan in self._plans[self._laid :]:
            self._now = after(self._now, plan, self._snapshot.pending)
        self._laid = len(self._plans)
        return self._now

    def _hopeful(self) -> Ints:
        """The first of those left out for whom somebody may have to give way."""
        examples, kind = self._requests.examples, self._requests.kind
        preempts = np.array([self._fairness.may_preempt(request) for request in examples], dtype=bool)
        owing, over, inside = (
            self._fairness.reclaimable(),
            self._fairness.beyond_quotas(),
            self._fairness.inside_quotas(),
        )
        reclaims = np.array(
            [bool((owing | over if r.project in inside else owing) - {r.project}) for r in examples], dtype=bool
        )
        entitled = preempts[kind] | (reclaims[kind] & ~self._fairness.beyond)
        left = ~self._placed & (self._fairness.tier != REFUSED) & entitled
        order = self._requests.order[left[self._requests.order]]
        tier = self._fairness.tier[order]
        hopeful: Ints = order[in_groups(tier, int(tier.max(initial=0)) + 1)][:MOST_DISRUPTIONS]
        return hopeful

    def _reason(self, position: int) -> Outcome:
        """Why a request has no place: requests of one kind have one reason, looked for when it is first asked for."""
        if position in self._said:
            return self._said[position]
        if not self._reasons:
            order = self._requests.order
            left = order[~self._placed[order]]
            kinds, first = np.unique(self._requests.kind[left], return_index=True)
            pending = tuple(self._snapshot.pending[i] for i in left.tolist())
            found = self._reasons_for(
                replace(self._current(), pending=pending), self._policy, [pending[i] for i in first.tolist()]
            )
            self._reasons = dict(zip(kinds.tolist(), found, strict=True))
        return self._reasons[int(self._requests.kind[position])]


def _single(request: Request) -> bool:
    return (
        request.demand.devices == 1
        and request.gang is None
        and request.anti_affinity is None
        and request.nominated is None
        and not request.cpu_milli
        and not request.memory_mib
    )


def _turns(tier: Ints, singles: NDArray[np.bool_]) -> Iterator[tuple[Ints, Ints]]:
    """Positions to be served one by one, and those to be served together after them, turn after turn."""
    served = tier != REFUSED
    begins = np.unique(np.append(tier[served & ~singles], 0))
    turn = np.searchsorted(begins, tier, side="right")
    for number in range(1, len(begins) + 1):
        here = served & (turn == number)
        yield np.flatnonzero(here & ~singles), np.flatnonzero(here & singles)
