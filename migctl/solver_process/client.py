"""The caller's side: one solver process, kept warm, given one problem at a time.

A process that does not answer in time is killed, and a new one is started for the next problem. One
that is still starting is left to it: the caller goes on without.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Lock, Timer

from solver.batch.batch_solver import BatchSolverFailed
from solver.batch.problem import Problem, Solution

COMMAND = (sys.executable, "-m", "migctl.solver_process")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Matrices here are small: what several threads gain, their start costs ten times over."""


class SolverProcess:
    """A `BatchSolver` in a process of its own. Safe to use from several threads: they take turns."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._ready = False

    def solve(self, problem: Problem, seconds: float) -> Solution:
        """The answer within so many seconds. Raises BatchSolverFailed; a process that is late is killed."""
        with self._lock:
            connection = self._started()
            if not self._awake(connection, seconds):
                raise BatchSolverFailed(
                    f"the exact solver is still starting after {seconds:g} s; the greedy plan stands"
                )
            return self._exchange(connection, problem, seconds)

    def start(self) -> None:
        """Start the process ahead of the first problem."""
        with self._lock:
            self._started()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _started(self) -> Connection:
        if self._connection is None or self._process is None or self._process.poll() is not None:
            self._end()
            ours, theirs = Pipe()
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **ONE_THREAD},
            )
            theirs.close()
            self._connection, self._ready = ours, False
        return self._connection

    def _awake(self, connection: Connection, seconds: float) -> bool:
        try:
            if not self._ready and connection.poll(seconds):
                connection.recv()
                self._ready = True
        except (EOFError, OSError) as error:
            self._end()
            raise BatchSolverFailed("the exact solver could not be started; the greedy plan stands") from error
        return self._ready

    def _exchange(self, connection: Connection, problem: Problem, seconds: float) -> Solution:
        assert self._process is not None
        watchdog = Timer(seconds, self._process.kill)
        watchdog.start()
        try:
            connection.send(problem)
            answer: Solution | str = connection.recv()
        except (EOFError, OSError) as error:
            died = (
                "ended without an answer" if watchdog.is_alive() else f"had no answer in {seconds:g} s and was stopped"
            )
            self._end()
            raise BatchSolverFailed(f"the exact solver {died}; the greedy plan stands") from error
        finally:
            watchdog.cancel()
        if isinstance(answer, str):
            raise BatchSolverFailed(f"the exact solver failed ({answer}); the greedy plan stands")
        return answer

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._connection = self._process = None


@cache
def shared() -> SolverProcess:
    """The solver process of this process; it ends with it."""
    process = SolverProcess()
    atexit.register(process.close)
    return process
