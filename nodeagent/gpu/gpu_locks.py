"""Whose turn it is on a GPU: changes and questions, one at a time and none waited for without end.

What is asked of the driver about a GPU, or done to it, happens in that GPU's turn: a call that never comes back
keeps the turn, which shows which GPU's driver does not answer.
"""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from nodeagent.contract.allocation import Busy, Fenced
from nodeagent.gpu.deadlines import Deadlines
from nodeagent.gpu.managed_gpu import ManagedGpu

R = TypeVar("R")


class GpuLocks:
    """Turns on one node's GPUs."""

    def __init__(self, patience: Deadlines, clock: Callable[[], float]) -> None:
        self._patience, self._clock = patience, clock
        self._questions: dict[object, threading.Lock] = collections.defaultdict(threading.Lock)

    @contextlib.contextmanager
    def turn(self, gpu: ManagedGpu) -> Iterator[None]:
        """The caller's own turn. Raises Busy where it does not come in time, Fenced where it will not come soon."""
        if silence := self.silence(gpu):
            raise Fenced(f"GPU {gpu.uuid} is fenced: {silence}")
        with gpu.turn(self._patience.turn_s):
            yield

    def change(self, gpu: ManagedGpu, act: Callable[[ManagedGpu], R]) -> R:
        """Do something to a GPU in its turn. Raises Busy or Fenced as `turn`, and Busy where `act` takes too long."""

        def in_turn() -> R:
            with self.turn(gpu):
                return act(gpu)

        return self._patience.in_time(in_turn, self._patience.turn_s)

    def ask(self, gpu: ManagedGpu, question: Callable[[], R]) -> R:
        """Ask the driver about a GPU, in its turn. Raises Busy where that takes too long."""

        def in_turn() -> R:
            with gpu.turn(self._patience.glance_s):
                return question()

        return self._patience.in_time(in_turn, self._patience.answer_s)

    def ask_once(self, name: object, question: Callable[[], R]) -> R:
        """Ask the driver what belongs to no GPU's turn. Raises Busy where it does not answer, or still has not."""
        lock = self._questions[name]

        def asked() -> R:
            if not lock.acquire(blocking=False):
                raise Busy("the driver has not answered the question before: try again")
            try:
                return question()
            finally:
                lock.release()

        return self._patience.in_time(asked, self._patience.answer_s)

    def silence(self, gpu: ManagedGpu) -> str:
        """Why nothing is to be expected of a GPU's driver ("" where it answers, or may yet)."""
        began, longest = gpu.since, self._patience.stuck_s
        silent = began is not None and self._clock() - began > longest
        return f"the driver has not answered for {longest:g} s" if silent else ""
