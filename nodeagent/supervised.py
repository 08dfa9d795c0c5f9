"""A loop in a thread of its own that no error ends: every background thread of the agent is one.

An error is logged once, counted, and said in the agent's report until a step succeeds. The agent is unhealthy, and its
node starts it anew, while errors that no step foresees last, a step does not return, or a thread is gone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping

import structlog

UNHEALTHY_AFTER = 3
"""Errors in a row that a step does not foresee."""
STUCK_S = 180.0
"""Longer than every deadline of the driver together."""
_STOP_S = 10.0

_log = structlog.get_logger("nodeagent")


class SupervisedLoop:
    """Calls `step` every `every_s` seconds, or when it is woken, from `start` to `stop`.

    retry_s   seconds after an error; None: as always
    expected  errors of others, the driver or the API server: told, and no reason to start the agent anew
    at_once   the first step comes at the start, not `every_s` after it
    failures  how many steps have failed since the start
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], None],
        every_s: float,
        *,
        retry_s: float | None = None,
        expected: tuple[type[Exception], ...] = (),
        at_once: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.failures = name, 0
        self._step, self._every_s, self._retry_s = step, every_s, every_s if retry_s is None else retry_s
        self._expected, self._at_once, self._clock = expected, at_once, clock
        self._error = ""
        self._unexpected = 0
        self._began: float | None = None
        self._stopping = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Take the next step now."""
        self._woken.set()

    def stop(self) -> bool:
        """Wait for the last step, but not for a driver that does not answer; whether it has ended."""
        self._stopping = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        return not self._thread.is_alive()

    def problem(self) -> str:
        """Why it does not do its work; "" where it does."""
        if self._is_stuck():
            return f"its step has not returned for {STUCK_S:g} s"
        return self._error or ("its thread has ended" if self._is_gone() else "")

    def is_healthy(self) -> bool:
        """Whether a new start of the agent would not help."""
        return not self._is_gone() and not self._is_stuck() and self._unexpected < UNHEALTHY_AFTER

    def _is_gone(self) -> bool:
        return self._thread.ident is not None and not self._thread.is_alive() and not self._stopping

    def _is_stuck(self) -> bool:
        began = self._began
        return began is not None and self._clock() - began > STUCK_S

    def _run(self) -> None:
        wait = 0.0 if self._at_once else self._every_s
        while not self._stopping:
            self._woken.wait(wait)
            self._woken.clear()
            if not self._stopping:
                wait = self._every_s if self._succeeds() else self._retry_s

    def _succeeds(self) -> bool:
        self._began = self._clock()
        try:
            self._step()
        except Exception as error:
            self._failed(error)
            return False
        finally:
            self._began = None
        if self._error:
            self._tell("info", "works again")
        self._error, self._unexpected = "", 0
        return True

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        foreseen = isinstance(error, self._expected)
        self._unexpected = 0 if foreseen else self._unexpected + 1
        text = str(error) or type(error).__name__
        if text != self._error:
            self._tell("warning" if foreseen else "error", "failed", error=text, exc_info=not foreseen)
        self._error = text

    def _tell(self, level: str, event: str, **fields: object) -> None:
        with contextlib.suppress(Exception):  # a log that cannot be written must not end the loop
            getattr(_log, level)(event, loop=self.name, **fields)


class Loops:
    """The loops of one agent."""

    def __init__(self) -> None:
        self._loops: list[SupervisedLoop] = []

    def add(self, loop: SupervisedLoop) -> SupervisedLoop:
        """Count a loop in what is said of the agent's health."""
        self._loops.append(loop)
        return loop

    def problems(self) -> dict[str, str]:
        """Why a loop does not do its work, by its name; those that work are left out."""
        return {loop.name: problem for loop in self._loops if (problem := loop.problem())}

    def are_healthy(self) -> bool:
        """Whether a new start of the agent would not help."""
        return all(loop.is_healthy() for loop in self._loops)

    def failures(self) -> Mapping[str, int]:
        """How many steps have failed since the start, by loop."""
        return {loop.name: loop.failures for loop in self._loops}
