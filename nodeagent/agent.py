"""The node agent: prepares allocations on this node's GPUs and reports what is there.

Safe to call from any number of threads; one GPU serves one call at a time, different GPUs serve
in parallel. Every call may be repeated. Everything that must survive a crash is in `state_dir`;
at the start the agent settles each GPU first: it reads the hardware, matches it with the
records, finishes or undoes what was begun, and leaves alone what it does not know.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from nodeagent.claims import Claims
from nodeagent.contract import environment
from nodeagent.contract.allocation import (
    AgentError,
    Allocation,
    Busy,
    NodeReport,
    Prepared,
    PreparedDevice,
    StaleAllocation,
    Unsupported,
)
from nodeagent.gpu import inventory, mig_mode, recovery
from nodeagent.gpu.deadlines import Deadlines
from nodeagent.gpu.events import AgentEvent, EventKind, EventObserver
from nodeagent.gpu.gpu_locks import GpuLocks
from nodeagent.gpu.inventory import ClaimOf, GpuState
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.gpu.mig_mode import ModeChange
from nodeagent.gpu.nvlink import link_groups
from nodeagent.gpu.parallel import answers, on_each
from nodeagent.gpu.shared_gpu import LimitsFiles
from nodeagent.journal.durable import replace
from nodeagent.journal.journal import DamagedJournal, Journal
from nodeagent.journal.locking import AgentLock
from nodeagent.journal.records import Hold
from nodeagent.nvml import GpuInfo, Nvml, NvmlError, Readings
from nodeagent.shares import process_owner
from nodeagent.shares.accounts import ShareAccounts
from nodeagent.shares.driver_limits import DriverLimits
from nodeagent.shares.host_shares import HostShares
from nodeagent.shares.time_slices import ComputePolicy, busy
from nodeagent.upkeep.health import fault_of_readings, fault_of_xid
from solver.model.cluster import Gpu
from solver.model.geometry import GpuModel, Placement

R = TypeVar("R")


class Agent:
    """The agent of one node. `settings` are added to every prepared claim's environment.

    state_dir  its own directory, 0700; never shared by two agents
    boot_id    names the running boot: instances never survive into another one
    claim_of   uid of the claim that a pid runs for
    observers  are told of everything that happens
    host_shares  bounds software shares of processes on this host; None: somebody else does
    driver_limits  bounds shares by the driver's own limits where it has them; None: nowhere
    remarks    what reports say besides, by claim or process
    patience   how long to wait for the driver

    Starting raises HeldByAnother, NvmlError or Busy where the driver does not answer, OSError where
    `state_dir` cannot be used.
    """

    def __init__(
        self,
        nvml: Nvml,
        state_dir: Path,
        node: str,
        *,
        boot_id: Callable[[], str] = process_owner.boot_id,
        claim_of: ClaimOf = process_owner.claim_of,
        clock: Callable[[], float] = time.monotonic,
        settings: Mapping[str, str] | None = None,
        observers: Sequence[EventObserver] = (),
        host_shares: HostShares | None = None,
        driver_limits: DriverLimits | None = None,
        patience: Deadlines | None = None,
    ) -> None:
        self.node = node
        self.nvml, self.claim_of, self._clock = nvml, claim_of, clock
        self._settings = dict(settings or {})
        self._state_dir = state_dir
        self._observers = observers
        self.host_shares = host_shares
        self.books = host_shares.books if host_shares else ShareAccounts(state_dir / "shares")
        self.driver_limits = driver_limits or DriverLimits(nvml, claim_of)
        self._looked = 0
        self._changes = 0
        self._report_lock = threading.Lock()
        self._mode_lock = threading.Lock()
        self._turns = GpuLocks(patience or Deadlines(), clock)
        self._sights: dict[str, GpuState] = {}
        self._gpus: dict[str, ManagedGpu] = {}
        self._missing: dict[int, str] = {}
        self.remarks: dict[str, str] = {}
        self._claims = Claims(nvml, self._gpus, node, claim_of, self.driver_limits)
        self._lock = AgentLock(state_dir, "agent.lock", "give this one a state directory of its own")
        try:
            self._starts = _count_start(state_dir)
            self._limits = LimitsFiles(state_dir / "limits")
            self._driver = self._turns.ask_once("driver", nvml.driver_version)
            self._boot = boot_id()
            self._begin(self._discover())
            self._clean_up()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave everything as it is, close NVML and let another agent take the directory."""
        for gpu in self._gpus.values():
            gpu.close()
        self._lock.close()
        self.nvml.close()

    def recover(self) -> None:
        """Look for GPUs that did not answer, and settle every one. May be called at any time."""
        with self._report_lock:
            self._rediscover()
        for gpu in list(self._gpus.values()):
            with contextlib.suppress(AgentError):
                self._turns.change(gpu, functools.partial(recovery.settle, self.nvml))

    def _rediscover(self) -> None:
        with contextlib.suppress(NvmlError, Busy):
            self._begin(self._discover())

    def _begin(self, gpus: Iterable[ManagedGpu]) -> None:
        for gpu in gpus:
            with contextlib.suppress(AgentError):
                self._turns.change(gpu, functools.partial(recovery.begin, self.nvml))

    def _clean_up(self) -> None:
        """What a crash may have left, before anybody calls."""
        self._claims.release_incomplete()
        held = self._claims.held()
        with contextlib.suppress(AgentError):  # a full disk; prepare writes a missing file again
            for claim, holds in held.items():
                self._limits.write(claim, holds)
            self._limits.keep_only(held)
        if self.host_shares is not None:
            self.host_shares.keep_only(held)
        self.driver_limits.keep_only(held)
        for gpu in self._gpus.values():
            with contextlib.suppress(AgentError):
                self._turns.change(gpu, self.driver_limits.renew)

    def prepare(self, allocation: Allocation) -> Prepared:
        """Make an allocation ready, all its devices or none.

        Raises Busy, StaleAllocation, Unsupported or Fenced; then nothing is held that was not before.
        """
        began = self._clock()
        try:
            prepared = self._prepare(allocation)
        except AgentError as e:
            self.tell(AgentEvent(EventKind.REFUSED, claim=allocation.claim, detail=e.reason, text=str(e)))
            raise
        self.tell(
            AgentEvent(EventKind.PREPARED, claim=allocation.claim, seconds=self._clock() - began, text=allocation.name)
        )
        return prepared

    def _prepare(self, allocation: Allocation) -> Prepared:
        """Every GPU in its own turn, all side by side; where one refuses, the others let go again."""
        claim, gpus = allocation.claim, self._claims.gpus_of(allocation)
        fresh = [gpu for gpu in gpus if claim not in gpu.record.holds]
        shares = {share.gpu: share for share in allocation.devices}

        def hold(gpu: ManagedGpu) -> Hold:
            with self._turns.turn(gpu):
                self._claims.prepare_device(gpu, shares[gpu.uuid], allocation)
                return gpu.record.holds[claim]

        def release(gpu: ManagedGpu) -> None:
            with self._turns.turn(gpu):
                self._claims.release(claim, [gpu])

        try:
            return self._answer(claim, answers(on_each(gpus, hold)), fresh=bool(fresh))
        except AgentError:
            on_each(fresh, release)
            raise

    def unprepare(self, claim: str) -> None:
        """Let go of all a claim holds; its instances stay, idle. Unknown claims are fine.

        Raises Busy while a process of the claim lives on one of its devices.
        """
        began = self._clock()

        def let_go(gpu: ManagedGpu) -> None:
            with self._turns.turn(gpu):
                self._claims.let_go(gpu, claim)

        answers(on_each([gpu for gpu in list(self._gpus.values()) if claim in gpu.record.holds], let_go))
        self._limits.remove(claim)
        if self.host_shares is not None:
            self.host_shares.remove(claim)
        self.driver_limits.remove(claim, self._in_turn)
        self.tell(AgentEvent(EventKind.UNPREPARED, claim=claim, seconds=self._clock() - began))

    def _in_turn(self, uuid: str, act: Callable[[], R]) -> R:
        return self._turns.change(self._gpus[uuid], lambda gpu: act())

    def held(self) -> tuple[str, ...]:
        """Uids of the claims that are prepared and not yet unprepared."""
        return tuple(sorted(self._claims.held()))

    def prepared(self) -> tuple[Prepared, ...]:
        """Every held claim, as its Prepare was answered. Raises AgentError where a file of it cannot be made."""
        return tuple(self._answer(claim, holds, fresh=False) for claim, holds in self._claims.held().items())

    def tell(self, event: AgentEvent) -> None:
        """Pass an event on to the observers."""
        for observer in self._observers:
            observer(event)

    def set_dynamic_mig(self, on: bool, gpus: Collection[str] | None = None) -> tuple[ModeChange, ...]:
        """Switch MIG mode of the GPUs named by UUID, or of every one that has MIG.

        One answer per GPU. Where one is in use nothing is changed, and the refusals alone are answered.
        Raises Unsupported where no GPU of the node has MIG, StaleAllocation on an unknown UUID.
        """
        unknown = set(gpus or ()) - set(self._gpus)
        if unknown:
            raise StaleAllocation(f"node {self.node} has no GPU {min(unknown)}")
        named = [g for g in list(self._gpus.values()) if (g.uuid in gpus if gpus is not None else g.model.profiles)]
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
            self._link()  # MIG mode takes a GPU off its links
            return changes

    def _mode(
        self, act: Callable[[Nvml, ManagedGpu, bool], ModeChange | None], gpu: ManagedGpu, on: bool
    ) -> ModeChange | None:
        def explained(gpu: ManagedGpu) -> ModeChange | None:
            try:
                return act(self.nvml, gpu, on)
            except (NvmlError, AgentError) as e:
                return mig_mode.explained(gpu, on, e)

        try:
            return self._turns.change(gpu, explained)
        except Busy as e:
            return mig_mode.explained(gpu, on, e)

    def report(self) -> NodeReport:
        """The node as it is now. A GPU that is being changed is shown as it was before."""
        with self._report_lock:
            if self._missing:
                self._rediscover()
            sights = {gpu.uuid: self._look(gpu) for gpu in list(self._gpus.values())}
            if {u: s.gpu for u, s in sights.items()} != {u: s.gpu for u, s in self._sights.items()}:
                self._changes += 1
            self._sights = sights
            return NodeReport(
                node=self.node,
                boot_id=self._boot,
                generation=(self._starts << 20) + self._changes,
                gpus=tuple(s.gpu for s in sights.values()),
                models={g.model.id: g.model for g in list(self._gpus.values())},
                held=self.held(),
                driver=self._driver,
                simulated=environment.SIMULATED in self._settings,
                processes=tuple(p for s in sights.values() for p in s.processes),
                notes={f"GPU {i}": f"does not answer: {why}" for i, why in self._missing.items()} | self.remarks,
            )

    def follow_processes(self, report: NodeReport) -> None:
        """Let the driver bound the claims whose processes a report found in cgroups of their own."""
        held = self._claims.held()
        holds = [hold for those in held.values() for hold in those]
        for gpu in list(self._gpus.values()):
            found = [p for p in report.processes if p.gpu == gpu.uuid]
            with contextlib.suppress(Busy):
                self._turns.ask(gpu, functools.partial(self.driver_limits.follow, found, holds))

    def divide_time(self, report: NodeReport) -> None:
        """Give the claims of each shared GPU their turns, where that is asked for."""
        shares = self.host_shares
        if shares is None or shares.compute is ComputePolicy.EVEN:
            return
        since, self._looked = self._looked, int(time.time() * 1e6)
        for gpu in report.gpus:
            shares.divide(gpu, busy(report.processes, gpu.uuid, self._launching(gpu, since)))

    def _launching(self, gpu: Gpu, since_us: int) -> set[int] | None:
        """Pids that ran kernels since; None where the driver does not tell."""
        if not gpu.parts:
            return None
        try:
            return self._turns.ask(self._gpus[gpu.uuid], functools.partial(self.nvml.launching, gpu.uuid, since_us))
        except (NvmlError, Busy):
            return None

    def gpu_uuids(self) -> tuple[str, ...]:
        return tuple(self._gpus)

    def readings(self) -> dict[str, Readings]:
        """What the sensors say, by GPU UUID; without the GPUs that do not answer."""
        told = {}
        for uuid, gpu in list(self._gpus.items()):
            with contextlib.suppress(NvmlError, Busy):
                told[uuid] = self._turns.ask(gpu, functools.partial(self.nvml.readings, uuid))
        return told

    def examine(self) -> None:
        """Read every GPU's health; one that is not to be trusted takes nothing new until it is."""
        for uuid, readings in self.readings().items():
            gpu = self._gpus[uuid]
            fault = fault_of_readings(readings)
            if fault and fault != gpu.condition:
                gpu.tell(EventKind.FAULTY, detail="condition", text=fault)
            gpu.condition = fault

    def log_xid(self, uuid: str, xid: int) -> None:
        """Take note of an error that the driver logged for a GPU."""
        gpu = self._gpus.get(uuid)
        if gpu is not None:
            gpu.broken = fault_of_xid(xid) or gpu.broken
            gpu.tell(
                EventKind.FAULTY, detail=f"xid-{xid}", text=fault_of_xid(xid) or f"XID {xid}, an error of a program"
            )

    def idle(self) -> list[tuple[str, Placement, float]]:
        """GPU UUID, place and seconds of every idle instance let go of since the start."""
        now = self._clock()
        return [
            (gpu.uuid, place, now - since)
            for gpu in list(self._gpus.values())
            for place, since in list(gpu.idle_since.items())
            if place in gpu.record.owned and gpu.record.holder(place) is None
        ]

    def _discover(self) -> list[ManagedGpu]:
        """Take every new GPU into care that shows itself; the others are tried again later."""
        self._missing.clear()
        found = []
        for index in range(self._turns.ask_once("count", self.nvml.count)):
            try:
                board, model = self._turns.ask_once(index, functools.partial(self._identify, index))
                if board.uuid not in self._gpus:
                    found.append(self._managed(board, model))
            except (NvmlError, Busy) as e:
                self._missing[index] = str(e)
        self._gpus.update({gpu.uuid: gpu for gpu in found})
        if found:
            self._link()
        return found

    def _link(self) -> None:
        with contextlib.suppress(Busy):
            groups = self._turns.ask_once("links", lambda: link_groups(self.nvml.linked, list(self._gpus)))
            for uuid, gpu in self._gpus.items():
                gpu.link_group = groups.get(uuid)

    def _identify(self, index: int) -> tuple[GpuInfo, GpuModel]:
        board = self.nvml.board(index)
        return board, self.nvml.model(board)

    def _managed(self, board: GpuInfo, model: GpuModel) -> ManagedGpu:
        directory = self._state_dir / "gpus"
        directory.mkdir(exist_ok=True)
        try:
            journal = Journal(directory / f"{board.uuid}.log")
        except DamagedJournal as e:
            return ManagedGpu(board, model, None, self._boot, str(e), clock=self._clock, observer=self.tell)
        return ManagedGpu(board, model, journal, self._boot, clock=self._clock, observer=self.tell)

    def _answer(self, claim: str, holds: list[Hold], *, fresh: bool) -> Prepared:
        """What a held claim's processes need. Raises AgentError where a file of it cannot be made."""
        limits = self._limits.write(claim, holds)
        boards = {gpu.uuid: gpu.board for gpu in list(self._gpus.values())}
        bounds = self.host_shares.place(claim, holds, boards) if self.host_shares else {}
        cgroup = self.driver_limits.prepare(claim, holds, self._in_turn, fresh=fresh)
        uuids = ",".join(h.uuid for h in holds)
        variables = {
            environment.VISIBLE_DEVICES: uuids,
            environment.CUDA_DEVICES: uuids,
            environment.CLAIM: claim,
            **self._settings,
            **bounds,
        }
        if limits is not None:
            variables[environment.LIMITS] = str(limits)
        if cgroup is not None:
            variables[environment.CGROUP] = str(cgroup)
        return Prepared(claim, tuple(PreparedDevice(h.share.gpu, h.uuid, h.share) for h in holds), variables)

    def _look(self, gpu: ManagedGpu) -> GpuState:
        try:
            return self._turns.ask(gpu, functools.partial(self._see, gpu))
        except Busy:
            if silence := self._turns.silence(gpu):
                return inventory.unseen(gpu, self.node, silence)
            return self._sights.get(gpu.uuid) or inventory.unseen(gpu, self.node, "it is being reconfigured")
        except NvmlError as e:
            self.nvml.forget(gpu.uuid)
            return inventory.unseen(gpu, self.node, str(e))

    def _see(self, gpu: ManagedGpu) -> GpuState:
        recovery.settle_if_needed(self.nvml, gpu)
        return inventory.look(self.nvml, gpu, self.node, self.claim_of, self.driver_limits.limits)


def _count_start(state_dir: Path) -> int:
    """How often an agent has started here: generations of a later start are higher."""
    path = state_dir / "starts"
    try:
        starts = int(path.read_text(encoding="ascii")) + 1
    except (FileNotFoundError, ValueError):
        starts = int(time.time())
    replace(path, str(starts).encode())
    return starts
