"""How long the agent waits for a driver that may never answer.

A call into a driver cannot be given up, only left alone: whoever waits for it goes away, and the
call keeps its GPU's turn until it ends, so that nobody else touches that GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from nodeagent.contract.allocation import Busy

R = TypeVar("R")


@dataclass(frozen=True)
class Deadlines:
    """Seconds.

    turn_s    for a turn on a GPU, and for work that changes one; the kubelet gives up on a Prepare after 45 s
    glance_s  for a turn on a GPU, where the state before will do
    answer_s  for the answer to a question
    stuck_s   after that a GPU whose driver has not answered is fenced
    """

    turn_s: float = 40.0
    glance_s: float = 0.05
    answer_s: float = 10.0
    stuck_s: float = 60.0

    def in_time(self, act: Callable[[], R], seconds: float) -> R:
        """What `act` answers or raises. Raises Busy where that takes longer: it goes on in a thread of its own."""
        outcome: Future[R] = Future()
        thread = threading.Thread(target=_settle, args=(outcome, act), name="driver", daemon=True)
        thread.start()
        if not self.ended(thread, seconds):
            raise Busy(f"the driver has not answered for {seconds:g} s: try again")
        return outcome.result()

    def ended(self, thread: threading.Thread, seconds: float) -> bool:
        """Wait for a thread; whether it ended in time."""
        thread.join(seconds)
        return not thread.is_alive()


def _settle(outcome: Future[R], act: Callable[[], R]) -> None:
    try:
        outcome.set_result(act())
    except BaseException as e:
        outcome.set_exception(e)
