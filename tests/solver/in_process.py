"""The exact solver inside the test's own process: without a clock, so that every run finds the same."""

from __future__ import annotations

from itertools import count

from solver.batch.optimum.solve import solve
from solver.batch.problem import Problem, Solution

ROUNDS = 20


class InProcessSolver:
    """A BatchSolver that looks for better solutions so many times, whatever the seconds."""

    def solve(self, problem: Problem, seconds: float) -> Solution:
        rounds = count()
        return solve(problem, lambda: next(rounds) < ROUNDS)
