"""One operation on a GPU at a time, and none waited for without a deadline.

What is read from the driver about a GPU, or done to it, happens under that GPU's lock. A call that never returns
holds the lock, which shows which GPU's driver does not answer.
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
    """The locks of one node's GPUs, with deadlines."""

    def __init__(self, deadlines: Deadlines, clock: Callable[[], float]) -> None:
        self._deadlines, self._clock = deadlines, clock
        self._node_locks: dict[object, threading.Lock] = collections.defaultdict(threading.Lock)

    @contextlib.contextmanager
    def locked(self, gpu: ManagedGpu) -> Iterator[None]:
        """Hold the lock. Raises Busy where it is not free in time, Fenced where the driver is unresponsive."""
        if reason := self.unresponsive(gpu):
            raise Fenced(f"GPU {gpu.uuid} is fenced: {reason}")
        with gpu.locked(self._deadlines.change_s):
            yield

    def change(self, gpu: ManagedGpu, act: Callable[[ManagedGpu], R]) -> R:
        """Change a GPU under its lock. Raises Busy or Fenced as `locked`, and Busy where `act` takes too long."""

        def under_lock() -> R:
            with self.locked(gpu):
                return act(gpu)

        return self._deadlines.run(under_lock, self._deadlines.change_s)

    def read(self, gpu: ManagedGpu, act: Callable[[], R]) -> R:
        """Read from the driver about a GPU, under its lock. Raises Busy where that takes too long."""

        def under_lock() -> R:
            with gpu.locked(self._deadlines.try_s):
                return act()

        return self._deadlines.run(under_lock, self._deadlines.read_s)

    def read_node(self, name: object, act: Callable[[], R]) -> R:
        """Read from the driver what belongs to no GPU's lock, one call per name at a time.

        Raises Busy where the driver does not answer, or still has not answered the call before.
        """
        lock = self._node_locks[name]

        def under_lock() -> R:
            if not lock.acquire(blocking=False):
                raise Busy("the driver has not answered the call before: try again")
            try:
                return act()
            finally:
                lock.release()

        return self._deadlines.run(under_lock, self._deadlines.read_s)

    def unresponsive(self, gpu: ManagedGpu) -> str:
        """Why the driver is not expected to answer for a GPU; "" where it answers, or still may."""
        since, longest = gpu.locked_since, self._deadlines.fence_s
        expired = since is not None and self._clock() - since > longest
        return f"the driver has not answered for {longest:g} s" if expired else ""
