"""One GPU under the agent's care: its lasting facts, its journal, its lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nodeagent.contract import Busy, Fenced
from nodeagent.intents import Journal
from nodeagent.nvml import Board
from nodeagent.records import Record
from solver.model.geometry import GpuModel


class ManagedGpu:
    """All of it is read and changed under `turn` only.

    unsettled  the last transaction failed half-way: settle before anything else
    fence      why nothing new may be placed here ("" where it may)
    since      when the turn in progress began, by `clock`; None between turns
    """

    def __init__(
        self,
        board: Board,
        model: GpuModel,
        journal: Journal | None,
        fence: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.since: float | None = None
        self._clock = clock
        self.board = board
        self.model = model
        self._journal = journal
        self.fence = fence
        self.unsettled = True
        self._lock = threading.Lock()

    @property
    def uuid(self) -> str:
        return self.board.uuid

    @property
    def journal(self) -> Journal:
        """Raises Fenced where the journal cannot be read."""
        if self._journal is None:
            raise Fenced(f"GPU {self.uuid} is fenced: {self.fence}")
        return self._journal

    @property
    def record(self) -> Record:
        return Record() if self._journal is None else self._journal.record

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """Wait for one's turn on this GPU. Raises Busy when it does not come in time."""
        if not self._lock.acquire(timeout=seconds):
            raise Busy(f"GPU {self.uuid} is being reconfigured; its turn did not come in {seconds:g} s: try again")
        self.since = self._clock()
        try:
            yield
        finally:
            self.since = None
            self._lock.release()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
