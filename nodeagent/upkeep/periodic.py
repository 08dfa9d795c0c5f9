"""A thread that repeats a step."""

from __future__ import annotations

import threading
from collections.abc import Callable


class PeriodicTask:
    """Calls `step` every `every_s` seconds from `start` to `stop`. The step handles its own errors."""

    def __init__(self, name: str, step: Callable[[], None], every_s: float) -> None:
        self._step, self._every_s = step, every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last step has ended."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self._step()
