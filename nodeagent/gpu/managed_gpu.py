"""One GPU under the agent's care: its identity, its journal, its lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nodeagent.contract.allocation import Busy, Fenced
from nodeagent.gpu.events import AgentEvent, EventKind, EventObserver
from nodeagent.journal.journal import Journal
from nodeagent.journal.records import GpuRecord
from nodeagent.nvml import GpuInfo
from solver.model.geometry import GpuModel, Placement


def _ignore(event: AgentEvent) -> None:
    """Observe nothing."""


class ManagedGpu:
    """All of it is read and changed under `locked` only.

    boot            the running boot's name: what the journal says of another one is over
    nvidia_smi      the one of simulated GPUs; None: the driver's own
    needs_recovery  the last transaction failed half-way: recover before anything else
    fence           why its state cannot be explained; "" where it can
    sensor_fault    why the hardware is not to be trusted now, by its readings; "" where it is
    xid_fault       the last fatal error that the driver logged since the start; "" where there was none
    reserved        its MIG mode is about to be switched: nothing new may be held
    locked_since    when the lock was taken, by `clock`; None while it is free
    link_group      GPUs of the node with the same number reach each other over NVLink; None: none does
    strangers       pids of nobody that can be named, seen here while no claim held anything: such are those of another
                    PID namespace, where migctl runs in a container
    idle_since      when each idle instance was released, by `clock`; only those since the start
    """

    def __init__(
        self,
        info: GpuInfo,
        model: GpuModel,
        journal: Journal | None,
        boot: str,
        fence: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        observer: EventObserver = _ignore,
        nvidia_smi: Path | None = None,
    ) -> None:
        self.info = info
        self.model = model
        self._journal = journal
        self.boot = boot
        self.nvidia_smi = nvidia_smi
        self.fence = fence
        self.sensor_fault = ""
        self.xid_fault = ""
        self.needs_recovery = True
        self.reserved = False
        self.locked_since: float | None = None
        self.link_group: int | None = None
        self.strangers: set[int] = set()
        self.idle_since: dict[Placement, float] = {}
        self.clock = clock
        self._observer = observer
        self._lock = threading.Lock()

    @property
    def uuid(self) -> str:
        return self.info.uuid

    @property
    def fault(self) -> str:
        """Why the hardware is not to be trusted; "" where it is."""
        return self.xid_fault or self.sensor_fault

    @property
    def unschedulable(self) -> str:
        """Why nothing new may be placed here; "" where it may."""
        return self.fence or self.fault

    def set_fence(self, why: str) -> None:
        """Fence the GPU, or with "" lift the fence."""
        if why != self.fence:
            self.fence = why
            self.notify(EventKind.FENCED if why else EventKind.UNFENCED, text=why)

    def notify(
        self, kind: EventKind, *, claim: str = "", detail: str = "", seconds: float = 0.0, text: str = ""
    ) -> None:
        """Pass an event of this GPU on to the observer."""
        self._observer(AgentEvent(kind, self.uuid, claim, detail, seconds, text))

    @property
    def journal(self) -> Journal:
        """Raises Fenced where the journal cannot be read."""
        if self._journal is None:
            raise Fenced(f"GPU {self.uuid} is fenced: {self.fence}")
        return self._journal

    @property
    def record(self) -> GpuRecord:
        """What the journal says; empty where it cannot be read."""
        return GpuRecord() if self._journal is None else self._journal.record

    @contextmanager
    def locked(self, seconds: float) -> Iterator[None]:
        """Hold this GPU's lock. Raises Busy where it is not free within `seconds`."""
        if not self._lock.acquire(timeout=seconds):
            raise Busy(f"GPU {self.uuid} is being reconfigured and did not become free in {seconds:g} s: try again")
        self.locked_since = self.clock()
        try:
            yield
        finally:
            self.locked_since = None
            self._lock.release()

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
