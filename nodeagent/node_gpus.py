"""The GPUs of one node under the agent's care: discovered, recovered, read and switched.

One GPU serves one call at a time, different GPUs serve in parallel. A driver that does not answer for one GPU
does not hold up the others.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.contract.allocation import AgentError, Busy, StaleAllocation, Unsupported
from nodeagent.gpu import inventory, mig_mode, recovery
from nodeagent.gpu.events import EventKind, EventObserver
from nodeagent.gpu.gpu_locks import GpuLocks
from nodeagent.gpu.health import fault_of_readings, fault_of_xid
from nodeagent.gpu.inventory import ClaimOf, IsLimited, ObservedGpu
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.gpu.mig_mode import ModeChange
from nodeagent.gpu.nvlink import link_groups
from nodeagent.journal.journal import DamagedJournal, Journal
from nodeagent.nvml import GpuInfo, Nvml, NvmlError, Readings
from solver.model.geometry import GpuModel, Placement


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """All GPUs of the node at one moment.

    gpus     each GPU's state, by UUID
    missing  why a GPU does not answer, by its index
    changes  how often layouts or holders were found changed since the start
    """

    gpus: Mapping[str, ObservedGpu]
    missing: Mapping[int, str]
    changes: int


class NodeGpus:
    """Every GPU that has answered since the start. Iterating gives them all; `by_uuid` has them by UUID.

    directory   of the journals, one per GPU
    boot        the running boot's name
    claim_of    uid of the claim that a pid runs for
    is_limited  whether the driver limits a claim on a GPU
    nvidia_smi  the one of simulated GPUs; None: the driver's own
    """

    def __init__(
        self,
        nvml: Nvml,
        directory: Path,
        node: str,
        boot: str,
        locks: GpuLocks,
        *,
        claim_of: ClaimOf,
        is_limited: IsLimited,
        clock: Callable[[], float],
        observer: EventObserver,
        nvidia_smi: Path | None = None,
    ) -> None:
        self._nvml, self._directory, self.node, self.boot, self._locks = nvml, directory, node, boot, locks
        self._claim_of, self._is_limited, self._nvidia_smi = claim_of, is_limited, nvidia_smi
        self._clock, self._observer = clock, observer
        self.by_uuid: dict[str, ManagedGpu] = {}
        self._missing: dict[int, str] = {}
        self._states: dict[str, ObservedGpu] = {}
        self._changes = 0
        self._states_lock = threading.Lock()
        self._mode_lock = threading.Lock()

    def __iter__(self) -> Iterator[ManagedGpu]:
        return iter(list(self.by_uuid.values()))

    def uuids(self) -> tuple[str, ...]:
        return tuple(self.by_uuid)

    def close(self) -> None:
        """Close the journals. GPUs stay as they are."""
        for gpu in self:
            gpu.close()

    def start(self) -> None:
        """Discover the GPUs and recover each. Raises NvmlError or Busy where the driver does not answer at all."""
        for gpu in self._discover():
            with contextlib.suppress(AgentError):
                self._locks.change(gpu, functools.partial(recovery.recover_at_start, self._nvml))

    def recover(self) -> None:
        """Look for GPUs that did not answer, and recover every one. May be called at any time."""
        with self._states_lock:
            self._start_missing()
        for gpu in self:
            with contextlib.suppress(AgentError):
                self._locks.change(gpu, functools.partial(recovery.recover, self._nvml))

    def read(self) -> ObservedNode:
        """The GPUs' present state; one that is being changed is shown as it was before."""
        with self._states_lock:
            if self._missing:
                self._start_missing()
            states = {gpu.uuid: self._state(gpu) for gpu in self}
            if {u: s.gpu for u, s in states.items()} != {u: s.gpu for u, s in self._states.items()}:
                self._changes += 1
            self._states = states
            return ObservedNode(states, dict(self._missing), self._changes)

    def readings(self) -> dict[str, Readings]:
        """The sensors' readings by GPU UUID; without the GPUs that do not answer."""
        found = {}
        for gpu in self:
            with contextlib.suppress(NvmlError, Busy):
                found[gpu.uuid] = self._locks.read(gpu, functools.partial(self._nvml.readings, gpu.uuid))
        return found

    def check_health(self) -> None:
        """Read every GPU's sensors; one that is not to be trusted is closed to new claims until it is."""
        for uuid, readings in self.readings().items():
            gpu = self.by_uuid[uuid]
            fault = fault_of_readings(readings)
            if fault and fault != gpu.sensor_fault:
                gpu.notify(EventKind.FAULTY, detail="condition", text=fault)
            gpu.sensor_fault = fault

    def note_xid(self, uuid: str, xid: int) -> None:
        """Record an error that the driver logged for a GPU."""
        gpu = self.by_uuid.get(uuid)
        if gpu is not None:
            gpu.xid_fault = fault_of_xid(xid) or gpu.xid_fault
            gpu.notify(
                EventKind.FAULTY, detail=f"xid-{xid}", text=fault_of_xid(xid) or f"XID {xid}, an error of a program"
            )

    def idle(self) -> list[tuple[str, Placement, float]]:
        """GPU UUID, placement and idle seconds of every idle instance that was released since the start."""
        now = self._clock()
        return [
            (gpu.uuid, placement, now - since)
            for gpu in self
            for placement, since in list(gpu.idle_since.items())
            if placement in gpu.record.owned and gpu.record.holder(placement) is None
        ]

    def with_mig(self) -> tuple[str, ...]:
        """UUIDs of the GPUs that have MIG, whatever their mode."""
        return tuple(gpu.uuid for gpu in self if gpu.model.profiles)

    def set_dynamic_mig(self, on: bool, gpus: Collection[str] | None = None) -> tuple[ModeChange, ...]:
        """Switch MIG mode of the GPUs named by UUID, or of every one that has MIG.

        One result per GPU. Where one is in use nothing is changed, and only the refusals are returned.
        Raises Unsupported where no GPU of the node has MIG, StaleAllocation on an unknown UUID.
        """
        unknown = set(gpus or ()) - set(self.by_uuid)
        if unknown:
            raise StaleAllocation(f"node {self.node} has no GPU {min(unknown)}")
        named = [g for g in self if g.uuid in (self.with_mig() if gpus is None else gpus)]
        if not named:
            raise Unsupported(f"no GPU of node {self.node} has MIG")
        with self._mode_lock:
            try:
                refusals = [self._mode(mig_mode.reserve, gpu, on) for gpu in named]
                if any(refusals):
                    return tuple(filter(None, refusals))
                changes = tuple(filter(None, [self._mode(mig_mode.switch, gpu, on) for gpu in named]))
            finally:
                for gpu in named:
                    gpu.reserved = False
            self._read_links()  # MIG mode takes a GPU off its links
            return changes

    def _mode(
        self, act: Callable[[Nvml, ManagedGpu, bool], ModeChange | None], gpu: ManagedGpu, on: bool
    ) -> ModeChange | None:
        def under_lock(gpu: ManagedGpu) -> ModeChange | None:
            try:
                return act(self._nvml, gpu, on)
            except (NvmlError, AgentError) as e:
                return mig_mode.failed(gpu, on, e)

        try:
            return self._locks.change(gpu, under_lock)
        except Busy as e:
            return mig_mode.failed(gpu, on, e)

    def _start_missing(self) -> None:
        with contextlib.suppress(NvmlError, Busy):
            self.start()

    def _discover(self) -> list[ManagedGpu]:
        """Manage every new GPU that answers; the others are tried again later."""
        self._missing.clear()
        found = []
        for index in range(self._locks.read_node("count", self._nvml.count)):
            try:
                info, model = self._locks.read_node(index, functools.partial(self._identify, index))
                if info.uuid not in self.by_uuid:
                    found.append(self._manage(info, model))
            except (NvmlError, Busy) as e:
                self._missing[index] = str(e)
        self.by_uuid.update({gpu.uuid: gpu for gpu in found})
        if found:
            self._read_links()
        return found

    def _identify(self, index: int) -> tuple[GpuInfo, GpuModel]:
        info = self._nvml.gpu(index)
        return info, self._nvml.model(info)

    def _manage(self, info: GpuInfo, model: GpuModel) -> ManagedGpu:
        self._directory.mkdir(exist_ok=True)
        try:
            journal, fence = Journal(self._directory / f"{info.uuid}.log"), ""
        except DamagedJournal as e:
            journal, fence = None, str(e)
        return ManagedGpu(
            info,
            model,
            journal,
            self.boot,
            fence,
            clock=self._clock,
            observer=self._observer,
            nvidia_smi=self._nvidia_smi,
        )

    def _read_links(self) -> None:
        with contextlib.suppress(Busy):
            groups = self._locks.read_node("links", lambda: link_groups(self._nvml.linked, list(self.by_uuid)))
            for uuid, gpu in self.by_uuid.items():
                gpu.link_group = groups.get(uuid)

    def _state(self, gpu: ManagedGpu) -> ObservedGpu:
        try:
            return self._locks.read(gpu, functools.partial(self._read_state, gpu))
        except Busy:
            if reason := self._locks.unresponsive(gpu):
                return inventory.unreadable(gpu, self.node, reason)
            return self._states.get(gpu.uuid) or inventory.unreadable(gpu, self.node, "it is being reconfigured")
        except NvmlError as e:
            self._nvml.forget(gpu.uuid)
            return inventory.unreadable(gpu, self.node, str(e))

    def _read_state(self, gpu: ManagedGpu) -> ObservedGpu:
        recovery.recover_if_needed(self._nvml, gpu)
        return inventory.read_state(self._nvml, gpu, self.node, self._claim_of, self._is_limited)
