"""The node agent: prepares allocations on this node's GPUs and reports what is there.

Safe to call from any number of threads; one GPU serves one call at a time, different GPUs serve
in parallel. Every call may be repeated. Everything that must survive a crash is in `state_dir`;
at the start the agent settles each GPU first: it reads the hardware, matches it with the
records, finishes or undoes what was begun, and leaves alone what it does not know.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from nodeagent import environment, fractions, host, inventory, mig, mig_mode, records
from nodeagent.contract import (
    AgentError,
    Allocation,
    Busy,
    Fenced,
    NodeReport,
    Prepared,
    PreparedDevice,
    Stale,
    Unsupported,
)
from nodeagent.durable import replace
from nodeagent.fractions import LimitsFiles
from nodeagent.gpu import ManagedGpu
from nodeagent.intents import DamagedJournal, Journal
from nodeagent.inventory import ClaimOf, Sight
from nodeagent.mig_mode import ModeChange
from nodeagent.nvml import Board, InUse, Lost, NotPermitted, NotSupported, Nvml, NvmlError
from nodeagent.records import Hold
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare
from solver.model.geometry import GpuModel

_TURN_S = 40.0  # kubelet gives up on a Prepare after 45 s
_GLANCE_S = 0.05
_STUCK_S = 60.0


class StateInUse(AgentError):
    """Another agent works on this state directory."""


class Agent:
    """The agent of one node. `settings` are added to every prepared claim's environment.

    state_dir  its own directory, 0700; never shared by two agents
    boot_id    names the running boot: instances never survive into another one
    claim_of   uid of the claim that a pid runs for

    Starting raises StateInUse, NvmlError where the driver does not answer, OSError where
    `state_dir` cannot be used.
    """

    def __init__(
        self,
        nvml: Nvml,
        state_dir: Path,
        node: str,
        *,
        boot_id: Callable[[], str] = host.boot_id,
        claim_of: ClaimOf = host.claim_of,
        clock: Callable[[], float] = time.monotonic,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.node = node
        self._nvml, self._boot_id, self._claim_of, self._clock = nvml, boot_id, claim_of, clock
        self._settings = dict(settings or {})
        self._state_dir = state_dir
        self._changes = 0
        self._report_lock = threading.Lock()
        self._sights: dict[str, Sight] = {}
        self._gpus: dict[str, ManagedGpu] = {}
        self._missing: dict[int, str] = {}
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_descriptor = _claim_directory(state_dir)
        try:
            self._starts = _count_start(state_dir)
            self._limits = LimitsFiles(state_dir / "limits")
            self._driver = nvml.driver_version()
            self._discover()
            self._settle_all()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave everything as it is, close NVML and let another agent take the directory."""
        for gpu in self._gpus.values():
            gpu.close()
        os.close(self._lock_descriptor)
        self._nvml.close()

    def recover(self) -> None:
        """What the start does: settle every GPU and clean up after a crash. May be called at any time."""
        with contextlib.suppress(NvmlError):
            self._discover()
        self._settle_all()

    def _settle_all(self) -> None:
        for gpu in self._gpus.values():
            with gpu.turn(_TURN_S), contextlib.suppress(AgentError):
                self._begin_boot(gpu)
                self._settle(gpu)
                with contextlib.suppress(NvmlError):
                    mig_mode.restore(self._nvml, gpu)
        self._release_incomplete()
        held = self._held()
        with contextlib.suppress(AgentError):  # a full disk; prepare writes a missing file again
            for claim, holds in held.items():
                self._limits.write(claim, holds)
            self._limits.keep_only(held)

    def prepare(self, allocation: Allocation) -> Prepared:
        """Make an allocation ready, all its devices or none.

        Raises Busy, Stale, Unsupported or Fenced; then nothing is held that was not before.
        """
        gpus = self._gpus_of(allocation)
        with contextlib.ExitStack() as turns:
            for gpu in sorted(gpus, key=lambda g: g.board.index):
                turns.enter_context(gpu.turn(_TURN_S))
            before = [allocation.claim in gpu.record.holds for gpu in gpus]
            try:
                for gpu, share in zip(gpus, allocation.devices, strict=True):
                    self._prepare_device(gpu, share, allocation)
                holds = [gpu.record.holds[allocation.claim] for gpu in gpus]
                limits = self._limits.write(allocation.claim, holds)
            except AgentError:
                self._undo(allocation.claim, [g for g, held in zip(gpus, before, strict=True) if not held])
                raise
            return self._prepared(allocation.claim, holds, limits)

    def unprepare(self, claim: str) -> None:
        """Let go of all a claim holds; its instances stay, idle. Unknown claims are fine.

        Raises Busy while a process of the claim lives on one of its devices.
        """
        for gpu in self._gpus.values():
            if claim not in gpu.record.holds:
                continue
            with gpu.turn(_TURN_S):
                hold = gpu.record.holds.get(claim)
                if hold is not None:
                    self._refuse_living(gpu, hold)
                    gpu.journal.append(records.release(claim))
        self._limits.remove(claim)

    def set_dynamic_mig(self, on: bool, gpus: Collection[str] | None = None) -> tuple[ModeChange, ...]:
        """Switch MIG mode of the GPUs named by UUID, or of every one that has MIG.

        One answer per GPU. Where one is in use nothing is changed, and the refusals alone are answered.
        Raises Unsupported where no GPU of the node has MIG, Stale on an unknown UUID.
        """
        unknown = set(gpus or ()) - set(self._gpus)
        if unknown:
            raise Stale(f"node {self.node} has no GPU {min(unknown)}")
        named = [g for g in self._gpus.values() if (g.uuid in gpus if gpus is not None else g.model.profiles)]
        if not named:
            raise Unsupported(f"no GPU of node {self.node} has MIG")
        with contextlib.ExitStack() as turns:
            for gpu in named:
                turns.enter_context(gpu.turn(_TURN_S))
            refusals = [self._mode(mig_mode.refusal, gpu, on) for gpu in named]
            if any(refusals):
                return tuple(filter(None, refusals))
            return tuple(filter(None, [self._mode(mig_mode.switch, gpu, on) for gpu in named]))

    def _mode(
        self, act: Callable[[Nvml, ManagedGpu, bool], ModeChange | None], gpu: ManagedGpu, on: bool
    ) -> ModeChange | None:
        try:
            return act(self._nvml, gpu, on)
        except (NvmlError, AgentError) as e:
            return mig_mode.explained(gpu, on, e)

    def report(self) -> NodeReport:
        """The node as it is now. A GPU that is being changed is shown as it was before."""
        with self._report_lock:
            if self._missing:
                self.recover()
            sights = {gpu.uuid: self._look(gpu) for gpu in self._gpus.values()}
            if {u: s.gpu for u, s in sights.items()} != {u: s.gpu for u, s in self._sights.items()}:
                self._changes += 1
            self._sights = sights
            return NodeReport(
                node=self.node,
                boot_id=self._boot_id(),
                generation=(self._starts << 20) + self._changes,
                gpus=tuple(s.gpu for s in sights.values()),
                models={g.model.id: g.model for g in self._gpus.values()},
                held=tuple(sorted(self._held())),
                driver=self._driver,
                simulated=environment.SIMULATED in self._settings,
                processes=tuple(p for s in sights.values() for p in s.processes),
                notes={f"GPU {index}": f"does not answer: {why}" for index, why in self._missing.items()},
            )

    def _discover(self) -> None:
        """Take every GPU into care that shows itself; the others are tried again later."""
        self._missing.clear()
        for index in range(self._nvml.count()):
            try:
                board = self._nvml.board(index)
                if board.uuid not in self._gpus:
                    self._gpus[board.uuid] = self._managed(board, self._nvml.model(board))
            except NvmlError as e:
                self._missing[index] = str(e)

    def _managed(self, board: Board, model: GpuModel) -> ManagedGpu:
        directory = self._state_dir / "gpus"
        directory.mkdir(exist_ok=True)
        try:
            return ManagedGpu(board, model, Journal(directory / f"{board.uuid}.log"), clock=self._clock)
        except DamagedJournal as e:
            return ManagedGpu(board, model, None, str(e), clock=self._clock)

    def _begin_boot(self, gpu: ManagedGpu) -> None:
        if gpu.record.boot != self._boot_id():
            gpu.journal.append(records.boot(self._boot_id()))
        for place in list(gpu.record.quarantined):
            if gpu.record.owned[place].uuid:
                gpu.journal.append(records.cleared(place))

    def _release_incomplete(self) -> None:
        """A claim that was never answered for: some of its devices were held, then we died."""
        for claim, holds in self._held().items():
            if len(holds) < holds[0].devices:
                self._undo(claim, [g for g in self._gpus.values() if claim in g.record.holds])

    def _held(self) -> dict[str, list[Hold]]:
        held: dict[str, list[Hold]] = {}
        for gpu in self._gpus.values():
            for hold in list(gpu.record.holds.values()):
                held.setdefault(hold.claim, []).append(hold)
        return held

    def _gpus_of(self, allocation: Allocation) -> list[ManagedGpu]:
        if allocation.node != self.node:
            raise Stale(f"{allocation.name} was allocated on node {allocation.node}, this is {self.node}")
        uuids = [share.gpu for share in allocation.devices]
        unknown = [u for u in uuids if u not in self._gpus]
        if unknown:
            raise Stale(f"node {self.node} has no GPU {unknown[0]} (any more)")
        if not uuids or len(set(uuids)) < len(uuids):
            raise Stale(f"the allocation of {allocation.name} names no GPU, or one GPU twice")
        return [self._gpus[u] for u in uuids]

    def _prepare_device(self, gpu: ManagedGpu, share: DeviceShare, allocation: Allocation) -> None:
        hold = gpu.record.holds.get(allocation.claim)
        if hold is not None and hold.share != share:
            raise Stale(f"{allocation.name} already holds another share of GPU {gpu.uuid}: unprepare it first")
        claim, name, count = allocation.claim, allocation.name, len(allocation.devices)
        try:
            if gpu.unsettled:
                self._settle(gpu)
            mig.refuse_mode(self._nvml, gpu, mig=share.backing is Backing.MIG)
            if share.backing is Backing.MIG:
                mig.prepare(self._nvml, gpu, claim, name, share, count)
            elif hold is None:
                fractions.prepare(gpu, claim, name, share, count)
        except NvmlError as e:
            self._nvml.forget(gpu.uuid)
            self._after_trouble(gpu)
            raise _explained(gpu, e) from e
        except AgentError:
            self._after_trouble(gpu)
            raise

    def _after_trouble(self, gpu: ManagedGpu) -> None:
        if gpu.unsettled:
            with contextlib.suppress(AgentError):
                self._settle(gpu)

    def _settle(self, gpu: ManagedGpu) -> None:
        """Raises Fenced where the GPU's state cannot be explained or repaired; it is tried again later."""
        _ = gpu.journal
        try:
            mig.settle(self._nvml, gpu)
        except NvmlError as e:
            gpu.unsettled = True
            gpu.fence = f"its state cannot be settled: {e}"
            raise Fenced(f"GPU {gpu.uuid} is fenced: {gpu.fence}") from e
        gpu.fence = ""

    def _undo(self, claim: str, gpus: list[ManagedGpu]) -> None:
        for gpu in gpus:
            if claim in gpu.record.holds:
                with contextlib.suppress(AgentError):
                    gpu.journal.append(records.release(claim))

    def _refuse_living(self, gpu: ManagedGpu, hold: Hold) -> None:
        try:
            pids = list(self._processes_of(gpu, hold))
        except Lost:
            return  # nothing runs on a GPU that is gone
        except NvmlError as e:
            raise Busy(f"cannot tell whether {hold.name} still runs on GPU {gpu.uuid}: {e}") from e
        if pids:
            raise Busy(f"{hold.name} still runs on GPU {gpu.uuid} as process {pids[0]}: try again when it has ended")

    def _processes_of(self, gpu: ManagedGpu, hold: Hold) -> Iterator[int]:
        owned = None if hold.place is None else gpu.record.owned.get(hold.place)
        for process in self._nvml.processes(gpu.uuid):
            match hold.share.backing:
                case Backing.WHOLE:
                    yield process.pid
                case Backing.MIG if owned is not None and process.gi == owned.gi:
                    yield process.pid
                case Backing.SOFTWARE | Backing.DRIVER_LIMIT if self._claim_of(process.pid) == hold.claim:
                    yield process.pid

    def _prepared(self, claim: str, holds: list[Hold], limits: Path | None) -> Prepared:
        uuids = ",".join(h.uuid for h in holds)
        variables = {
            environment.VISIBLE_DEVICES: uuids,
            environment.CUDA_DEVICES: uuids,
            environment.CLAIM: claim,
            **self._settings,
        }
        if limits is not None:
            variables[environment.LIMITS] = str(limits)
        return Prepared(claim, tuple(PreparedDevice(h.share.gpu, h.uuid, h.share) for h in holds), variables)

    def _look(self, gpu: ManagedGpu) -> Sight:
        try:
            with gpu.turn(_GLANCE_S):
                self._after_trouble(gpu)
                return inventory.look(self._nvml, gpu, self.node, self._claim_of)
        except Busy:
            began = gpu.since
            if began is not None and self._clock() - began > _STUCK_S:
                return inventory.unseen(gpu, self.node, f"the driver has not answered for {_STUCK_S:g} s")
            return self._sights.get(gpu.uuid) or inventory.unseen(gpu, self.node, "it is being reconfigured")
        except NvmlError as e:
            self._nvml.forget(gpu.uuid)
            return inventory.unseen(gpu, self.node, str(e))


def _claim_directory(state_dir: Path) -> int:
    descriptor = os.open(state_dir / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        os.close(descriptor)
        raise StateInUse(f"another node agent works on {state_dir}: stop it first") from e
    return descriptor


def _count_start(state_dir: Path) -> int:
    """How often an agent has started here: generations of a later start are higher."""
    path = state_dir / "starts"
    try:
        starts = int(path.read_text(encoding="ascii")) + 1
    except (FileNotFoundError, ValueError):
        starts = int(time.time())
    replace(path, str(starts).encode())
    return starts


def _explained(gpu: ManagedGpu, e: NvmlError) -> AgentError:
    where = f"GPU {gpu.uuid} ({gpu.board.name})"
    if gpu.fence:
        return Fenced(f"{where} is fenced: {gpu.fence}")
    match e:
        case NotPermitted():
            return Unsupported(f"{where}: {e}; the node agent must run as root (CAP_SYS_ADMIN)")
        case NotSupported():
            return Unsupported(f"{where}: {e}")
        case InUse():
            return Busy(f"{where}: {e}; another program holds the GPU (a monitor such as DCGM?): try again")
        case _:
            return Busy(f"{where}: {e}; nothing was changed, try again")
