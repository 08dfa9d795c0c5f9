"""How long the agent waits for a driver that may never answer.

A call into a driver cannot be cancelled, only left alone: its caller returns, and the call holds its GPU's lock
until it ends, so that nobody else touches that GPU.
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

    change_s  to lock a GPU and to change it; the kubelet's own timeout of a Prepare is 45 s
    try_s     to lock a GPU whose last known state will do
    read_s    to read from the driver
    fence_s   after which a GPU whose driver has not answered is fenced
    """

    change_s: float = 40.0
    try_s: float = 0.05
    read_s: float = 10.0
    fence_s: float = 60.0

    def run(self, act: Callable[[], R], seconds: float) -> R:
        """What `act` returns or raises. Raises Busy after `seconds`: `act` goes on in a thread of its own."""
        outcome: Future[R] = Future()
        thread = threading.Thread(target=_run, args=(outcome, act), name="driver", daemon=True)
        thread.start()
        if not self.ended(thread, seconds):
            raise Busy(f"the driver has not answered for {seconds:g} s: try again")
        return outcome.result()

    def ended(self, thread: threading.Thread, seconds: float) -> bool:
        """Wait for a thread; whether it ended in time."""
        thread.join(seconds)
        return not thread.is_alive()


def _run(outcome: Future[R], act: Callable[[], R]) -> None:
    try:
        outcome.set_result(act())
    except BaseException as e:
        outcome.set_exception(e)
