"""One operation per claim at a time: a repeated call waits for the running one, a different one starts after it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

R = TypeVar("R")


class InFlight:
    """Operations run in threads of their own, so that they go on after their caller's timeout."""

    def __init__(self, workers: int = 64) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="claim")
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[str, Future[Any]]] = {}

    def start(self, claim: str, kind: str, work: Callable[[], R]) -> Future[R]:
        """Start `work` after what runs for the claim; where that is of the same kind, return it instead."""
        with self._lock:
            running, before = self._newest.get(claim, ("", None))
            if before is not None and running == kind:
                return before
            future = self._pool.submit(_after, before, work)
            self._newest[claim] = (kind, future)
        future.add_done_callback(lambda done: self._forget(claim, done))
        return future

    def _forget(self, claim: str, done: Future[Any]) -> None:
        with self._lock:
            if self._newest.get(claim, ("", None))[1] is done:
                del self._newest[claim]

    def close(self) -> None:
        """Start nothing more; what runs goes on to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _after(before: Future[Any] | None, work: Callable[[], R]) -> R:
    """The pool starts work in order, so `before` has a thread already: this cannot deadlock."""
    if before is not None:
        wait([before])
    return work()
