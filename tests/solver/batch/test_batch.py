"""Very many requests at once: the plan is sound, certified, and stands even when the solver does not answer."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from solver.batch.batch_solver import BatchSolverFailed
from solver.batch.problem import Problem, Solution
from solver.model.plan import Method, Placed
from solver.model.snapshot import Policy
from solver.planner import MANY, plan
from tests.bench.fleet import fleet
from tests.checker import check
from tests.depth import THOROUGH
from tests.solver.fleets import random_snapshot
from tests.solver.in_process import InProcessSolver

SEEDS = 2000 if THOROUGH else 40


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_is_sound_and_certified(seed: int) -> None:
    snapshot = fleet(gpus=100, requests=MANY + 44, seed=seed)
    decided = plan(snapshot, Policy(), InProcessSolver())
    check(snapshot, decided)
    certificate = decided.certificate
    assert certificate.method in (Method.OPTIMAL, Method.BOUNDED), certificate.note
    assert certificate.value <= certificate.bound * (1 + 1e-9)
    assert certificate.operations >= certificate.operations_bound
    assert set(decided.outcomes) == {request.claim for request in snapshot.pending}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_the_cluster_the_plan_is_sound(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mixed, crowded clusters: gangs, several devices, work that leaves, tier after tier, as one plan."""
    monkeypatch.setattr("solver.planner.MANY", 1)
    rng = Random(seed)
    snapshot = random_snapshot(rng, gpus=rng.randint(2, 40), pending=rng.randint(5, 120))
    check(snapshot, plan(snapshot, Policy(), InProcessSolver()))


def test_nothing_to_place_on_leaves_reasons() -> None:
    """Kinds of requests that no GPU serves left the program without groups."""
    snapshot = fleet(gpus=8, requests=MANY, seed=1)
    decided = plan(replace(snapshot, gpus=(), held=()))
    check(replace(snapshot, gpus=(), held=()), decided)
    assert not any(isinstance(outcome, Placed) for outcome in decided.outcomes.values())


class Late:
    """A solver that never answers in time."""

    def solve(self, problem: Problem, seconds: float) -> Solution:
        raise BatchSolverFailed(f"no answer in {seconds} s")


def test_a_solver_that_does_not_answer_leaves_the_greedy_plan_and_a_note() -> None:
    snapshot = fleet(gpus=60, requests=MANY, seed=5)
    decided = plan(snapshot, Policy(), Late())
    check(snapshot, decided)
    assert "no answer" in decided.certificate.note
    assert any(isinstance(outcome, Placed) for outcome in decided.outcomes.values())


def test_without_a_solver_the_greedy_plan_stands_and_says_so() -> None:
    snapshot = fleet(gpus=60, requests=MANY, seed=5)
    decided = plan(snapshot)
    check(snapshot, decided)
    assert "no exact solver" in decided.certificate.note
