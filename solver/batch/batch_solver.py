"""The port to the exact solver, which the caller hands in: the core starts no process and reads no clock."""

from __future__ import annotations

from typing import Protocol

from solver.batch.problem import Problem, Solution


class BatchSolverFailed(Exception):
    """No solution; the text says why, for the plan's certificate."""


class BatchSolver(Protocol):
    """Solves the program of a batch, exactly or within bounds."""

    def solve(self, problem: Problem, seconds: float) -> Solution:
        """The solution, after at most so many seconds of wall clock. Raises BatchSolverFailed."""
