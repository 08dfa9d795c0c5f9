"""Rounds: a thread that does the same again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable


class PeriodicTask:
    """Calls `step` every `every_s` seconds from `start` to `stop`. What may fail in it is the step's to handle."""

    def __init__(self, name: str, step: Callable[[], None], every_s: float) -> None:
        self._step, self._every_s = step, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last step has ended."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            self._step()
