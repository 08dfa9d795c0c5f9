"""The solver process: answers, and what happens when it does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from migctl.solver_process.client import SolverProcess
from solver.batch.batch_solver import BatchSolverFailed
from solver.batch.problem import Problem
from tests.limits import WAIT_S
from tests.solver.batch.test_optimum import judged, random_problem

AWAKE = """
import sys, time
from multiprocessing.connection import Connection
c = Connection(int(sys.argv[1]))
c.send(None)
"""


@pytest.fixture
def process() -> Iterator[SolverProcess]:
    made = SolverProcess()
    yield made
    made.close()


def stand_in(code: str) -> SolverProcess:
    return SolverProcess([sys.executable, "-c", code])


def failure(process: SolverProcess, problem: Problem, seconds: float) -> str:
    """Why a process that has started does not answer within so many seconds."""
    while True:
        with pytest.raises(BatchSolverFailed) as failed:
            process.solve(problem, seconds)
        if "still starting" not in str(failed.value):
            return str(failed.value)


def test_it_answers_one_problem_after_another(process: SolverProcess) -> None:
    for seed in range(3):
        problem = random_problem(Random(seed), 3, 4)
        judged(problem, process.solve(problem, WAIT_S))


def test_one_that_never_answers_is_killed_and_replaced() -> None:
    hung = stand_in(f"{AWAKE}time.sleep(600)")
    for _ in range(2):
        assert "no answer in 0.2 s" in failure(hung, random_problem(Random(1), 3, 4), 0.2)
    hung.close()


def test_one_that_never_reads_does_not_hold_the_caller() -> None:
    """A problem larger than the pipe's buffer: sending it blocks until the process is killed."""
    deaf = stand_in(f"{AWAKE}time.sleep(600)")
    assert "no answer in" in failure(deaf, random_problem(Random(1), 30_000, 4), 0.5)
    deaf.close()


def test_one_that_dies_is_reported() -> None:
    dying = stand_in(f"{AWAKE}c.recv(); sys.exit(1)")
    with pytest.raises(BatchSolverFailed, match="ended without an answer"):
        dying.solve(random_problem(Random(1), 3, 4), WAIT_S)
    dying.close()


def test_one_that_cannot_start_is_reported() -> None:
    broken = stand_in("raise SystemExit(3)")
    with pytest.raises(BatchSolverFailed, match="could not be started"):
        broken.solve(random_problem(Random(1), 3, 4), WAIT_S)
    broken.close()


def test_one_that_is_slow_to_start_is_left_alone() -> None:
    slow = stand_in("import sys; sys.stdin.read(); import time; time.sleep(600)")
    with pytest.raises(BatchSolverFailed, match="still starting"):
        slow.solve(random_problem(Random(1), 3, 4), 0.1)
    slow.close()


def test_a_problem_that_breaks_the_solver_is_reported_and_the_process_lives(process: SolverProcess) -> None:
    problem = random_problem(Random(2), 3, 4)
    with pytest.raises(BatchSolverFailed, match=r"failed \(IndexError"):
        process.solve(replace(problem, groups=[]), WAIT_S)
    judged(problem, process.solve(problem, WAIT_S))
