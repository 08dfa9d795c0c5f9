"""The solver process itself: answer problems on the connection given by number, until it is closed.

OR-Tools is imported here, before the first problem, so that a caller never waits for it twice.
"""

from __future__ import annotations

import sys
import time
from multiprocessing.connection import Connection

from solver.batch.optimum.solve import solve
from solver.batch.problem import Problem, Solution


def main() -> None:
    with Connection(int(sys.argv[1])) as caller:
        caller.send(None)
        while True:
            try:
                problem: Problem = caller.recv()
                caller.send(answer(problem))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                return


def answer(problem: Problem) -> Solution | str:
    """The answer, or what went wrong as a text: the process outlives a problem that it cannot solve."""
    deadline = time.monotonic() + problem.seconds
    try:
        return solve(problem, lambda: time.monotonic() < deadline)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
