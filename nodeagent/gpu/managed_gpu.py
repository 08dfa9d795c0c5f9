"""One GPU under the agent's care: its lasting facts, its journal, its lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nodeagent.contract.allocation import Busy, Fenced
from nodeagent.gpu.events import AgentEvent, EventKind, EventObserver
from nodeagent.journal.journal import Journal
from nodeagent.journal.records import GpuRecord
from nodeagent.nvml import GpuInfo
from solver.model.geometry import GpuModel, Placement


def _nobody(event: AgentEvent) -> None:
    """Told, and told no further."""


class ManagedGpu:
    """All of it is read and changed under `turn` only.

    boot        the running boot's name: what the journal says of another one is over
    unsettled   the last transaction failed half-way: settle before anything else
    fence       why its state cannot be explained ("" where it can)
    condition   why the hardware is not to be trusted just now, by its readings ("" where it is)
    broken      the last fatal error it logged since the start ("" where there was none)
    reserved    its MIG mode is about to be switched: nothing new may be held
    since       when the turn in progress began, by `clock`; None between turns
    link_group  GPUs of the node with the same number reach each other over NVLink; None: none does
    idle_since  when each idle instance was let go of, by `clock`; only those since the start
    """

    def __init__(
        self,
        board: GpuInfo,
        model: GpuModel,
        journal: Journal | None,
        boot: str,
        fence: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        observer: EventObserver = _nobody,
    ) -> None:
        self.board = board
        self.model = model
        self._journal = journal
        self.boot = boot
        self.fence = fence
        self.condition = ""
        self.broken = ""
        self.unsettled = True
        self.reserved = False
        self.since: float | None = None
        self.link_group: int | None = None
        self.idle_since: dict[Placement, float] = {}
        self.clock = clock
        self._observer = observer
        self._lock = threading.Lock()

    @property
    def uuid(self) -> str:
        return self.board.uuid

    @property
    def fault(self) -> str:
        """Why the hardware is not to be trusted ("" where it is)."""
        return self.broken or self.condition

    @property
    def closed(self) -> str:
        """Why nothing new may be placed here ("" where it may)."""
        return self.fence or self.fault

    def close_off(self, why: str) -> None:
        """Fence the GPU, or with "" open it again."""
        if why != self.fence:
            self.fence = why
            self.tell(EventKind.FENCED if why else EventKind.UNFENCED, text=why)

    def tell(self, what: EventKind, *, claim: str = "", detail: str = "", seconds: float = 0.0, text: str = "") -> None:
        self._observer(AgentEvent(what, self.uuid, claim, detail, seconds, text))

    @property
    def journal(self) -> Journal:
        """Raises Fenced where the journal cannot be read."""
        if self._journal is None:
            raise Fenced(f"GPU {self.uuid} is fenced: {self.fence}")
        return self._journal

    @property
    def record(self) -> GpuRecord:
        return GpuRecord() if self._journal is None else self._journal.record

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """Wait for one's turn on this GPU. Raises Busy when it does not come in time."""
        if not self._lock.acquire(timeout=seconds):
            raise Busy(f"GPU {self.uuid} is being reconfigured; its turn did not come in {seconds:g} s: try again")
        self.since = self.clock()
        try:
            yield
        finally:
            self.since = None
            self._lock.release()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
