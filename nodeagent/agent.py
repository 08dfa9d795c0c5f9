"""The node agent: prepares allocations on this node's GPUs and reports what is there.

Safe to call from any number of threads. Every call may be repeated. Everything that must survive a crash is in
`state_dir`; at the start the agent first recovers each GPU: it reads the hardware, matches it with the records,
finishes or undoes what was interrupted, and leaves alone what it does not know.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from nodeagent import procfs
from nodeagent.claims import Claims
from nodeagent.contract import environment
from nodeagent.contract.allocation import AgentError, Allocation, Busy, NodeReport, Prepared, PreparedDevice
from nodeagent.gpu.deadlines import Deadlines
from nodeagent.gpu.events import AgentEvent, EventKind, EventObserver
from nodeagent.gpu.gpu_locks import GpuLocks
from nodeagent.gpu.inventory import ClaimOf
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.gpu.parallel import on_each, results
from nodeagent.gpu.shared_gpu import LimitsFiles
from nodeagent.journal.durable import replace
from nodeagent.journal.locking import AgentLock
from nodeagent.journal.records import Hold
from nodeagent.node_gpus import NodeGpus
from nodeagent.nvml import LibraryMissing, Nvml, NvmlError
from nodeagent.shares.accounts import ShareAccounts
from nodeagent.shares.driver_limits import DriverLimits
from nodeagent.shares.host_shares import HostShares
from nodeagent.shares.process_owner import ProcessOwners
from nodeagent.shares.time_slices import ComputePolicy, launching_claims
from nodeagent.supervised import Loops
from solver.model.cluster import Gpu

R = TypeVar("R")


class Agent:
    """The agent of one node. `settings` are added to every prepared claim's environment.

    state_dir      its own directory, 0700; never shared by two agents
    boot_id        names the running boot: instances never survive into another one
    owners         whose the processes of this host are
    claim_of       uid of the claim that a pid runs for; None: as `owners` say
    observers      are called with every event
    host_shares    limits software shares of processes on this host; None: the container runtime does
    driver_limits  limits shares by the driver's own limits where it has them; None: nowhere
    deadlines      how long to wait for the driver
    remarks        what reports say besides, by claim or process
    loops          its background threads; reports say which of them fail

    Starting raises HeldByAnother, NvmlError or Busy where the driver does not answer, OSError where
    `state_dir` cannot be used.
    """

    def __init__(
        self,
        nvml: Nvml,
        state_dir: Path,
        node: str,
        *,
        boot_id: Callable[[], str] = procfs.boot_id,
        owners: ProcessOwners | None = None,
        claim_of: ClaimOf | None = None,
        clock: Callable[[], float] = time.monotonic,
        settings: Mapping[str, str] | None = None,
        observers: Sequence[EventObserver] = (),
        host_shares: HostShares | None = None,
        driver_limits: DriverLimits | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.node = node
        self.owners = owners or ProcessOwners()
        claim_of = claim_of or self.owners.claim_of
        commands = (settings or {}).get(environment.PATH_PREFIX)
        self.nvml, self.claim_of, self._clock = nvml, claim_of, clock
        self._settings = dict(settings or {})
        self._observers = observers
        self.host_shares = host_shares
        self.accounts = host_shares.accounts if host_shares else ShareAccounts(state_dir / "shares")
        self.driver_limits = driver_limits or DriverLimits(nvml, claim_of)
        self._launches_read_us = 0
        self.remarks: dict[str, str] = {}
        self.loops = Loops()
        self._locks = GpuLocks(deadlines or Deadlines(), clock)
        lock = AgentLock(state_dir, "agent.lock", "give this one a state directory of its own")
        with contextlib.ExitStack() as opened:
            opened.callback(nvml.close)
            opened.callback(lock.close)
            self._starts = _count_start(state_dir)
            self._limits = LimitsFiles(state_dir / "limits")
            self._loaded = procfs.nvidia_driver()
            self._driver = self._locks.read_node("driver", nvml.driver_version)
            self.gpus = NodeGpus(
                nvml,
                state_dir / "gpus",
                node,
                boot_id(),
                self._locks,
                claim_of=claim_of,
                is_limited=self.driver_limits.is_limited,
                clock=clock,
                observer=self.notify,
                nvidia_smi=Path(commands) / "nvidia-smi" if commands else None,
            )
            opened.callback(self.gpus.close)
            self._claims = Claims(nvml, self.gpus.by_uuid, node, claim_of, self.driver_limits, self.owners.processes_of)
            self.gpus.start()
            self._clean_up()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Leave everything as it is, close NVML and let another agent use the directory."""
        self._opened.close()

    def _clean_up(self) -> None:
        """Remove what a crash may have left, before the first call."""
        self._claims.release_incomplete()
        held = self._claims.held()
        with contextlib.suppress(AgentError):  # a full disk; prepare writes a missing file again
            for claim, holds in held.items():
                self._limits.write(claim, holds)
            self._limits.remove_except(held)
        if self.host_shares is not None:
            self.host_shares.remove_except(held)
        self.driver_limits.remove_except(held)
        for gpu in self.gpus:
            with contextlib.suppress(AgentError):
                self._locks.change(gpu, self.driver_limits.renew)

    def prepare(self, allocation: Allocation) -> Prepared:
        """Make an allocation ready, all its devices or none.

        Raises Busy, StaleAllocation, Unsupported or Fenced; then nothing is held that was not before.
        """
        began = self._clock()
        try:
            prepared = self._prepare(allocation)
        except AgentError as e:
            self.notify(AgentEvent(EventKind.REFUSED, claim=allocation.claim, detail=e.reason, text=str(e)))
            raise
        seconds = self._clock() - began
        self.notify(AgentEvent(EventKind.PREPARED, claim=allocation.claim, seconds=seconds, text=allocation.name))
        return prepared

    def _prepare(self, allocation: Allocation) -> Prepared:
        """All GPUs in parallel, each under its lock; where one refuses, the others are released."""
        claim, gpus = allocation.claim, self._claims.gpus_of(allocation)
        fresh = [gpu for gpu in gpus if claim not in gpu.record.holds]
        shares = {share.gpu: share for share in allocation.devices}

        def hold(gpu: ManagedGpu) -> Hold:
            with self._locks.locked(gpu):
                self._claims.prepare_device(gpu, shares[gpu.uuid], allocation)
                return gpu.record.holds[claim]

        def release(gpu: ManagedGpu) -> None:
            with self._locks.locked(gpu):
                self._claims.release(claim, [gpu])

        try:
            return self._prepared(claim, results(on_each(gpus, hold)), fresh=bool(fresh))
        except AgentError:
            on_each(fresh, release)
            raise

    def unprepare(self, claim: str) -> None:
        """Release all that a claim holds; its instances stay, idle. Unknown claims are fine.

        Raises Busy while a process of the claim lives on one of its devices.
        """
        began = self._clock()

        def release(gpu: ManagedGpu) -> None:
            with self._locks.locked(gpu):
                self._claims.unprepare_device(gpu, claim)

        results(on_each([gpu for gpu in self.gpus if claim in gpu.record.holds], release))
        self._remove_files(claim)
        self.owners.forget(claim)
        self.notify(AgentEvent(EventKind.UNPREPARED, claim=claim, seconds=self._clock() - began))

    def _remove_files(self, claim: str) -> None:
        self._limits.remove(claim)
        if self.host_shares is not None:
            self.host_shares.remove(claim)
        self.driver_limits.remove(claim, self._under_lock)

    def _under_lock(self, uuid: str, act: Callable[[], R]) -> R:
        return self._locks.change(self.gpus.by_uuid[uuid], lambda gpu: act())

    def held(self) -> tuple[str, ...]:
        """What is prepared and not yet unprepared: uids of claims, and holders of those with several requests."""
        return tuple(sorted(self._claims.held()))

    def prepared(self) -> tuple[Prepared, ...]:
        """Every held claim, as Prepare returned it. Raises AgentError where a file of it cannot be written."""
        return tuple(self._prepared(claim, holds, fresh=False) for claim, holds in self._claims.held().items())

    def prepared_for(self, claim: str) -> Prepared | None:
        """A held claim, as Prepare returned it; None where it is not held (any more), and then it stays so.

        Raises AgentError where a file of it cannot be written.
        """
        holds = self._claims.held().get(claim)
        if holds is None:
            return None
        prepared = self._prepared(claim, holds, fresh=False)
        if claim not in self._claims.held():
            self._remove_files(claim)
            return None
        return prepared

    def _prepared(self, claim: str, holds: list[Hold], *, fresh: bool) -> Prepared:
        """What a held claim's processes need. Raises AgentError where a file of it cannot be written."""
        limits = self._limits.write(claim, holds)
        infos = {gpu.uuid: gpu.info for gpu in self.gpus}
        libraries = self.host_shares.place(claim, holds, infos) if self.host_shares else {}
        cgroup = self.driver_limits.prepare(claim, holds, self._under_lock, fresh=fresh)
        uuids = ",".join(h.uuid for h in holds)
        variables = {
            environment.VISIBLE_DEVICES: uuids,
            environment.CUDA_DEVICES: uuids,
            environment.CLAIM: claim,
            **self._settings,
            **libraries,
        }
        if limits is not None:
            variables[environment.LIMITS] = str(limits)
        if cgroup is not None:
            variables[environment.CGROUP] = str(cgroup)
        return Prepared(claim, tuple(PreparedDevice(h.share.gpu, h.uuid, h.share) for h in holds), variables)

    def notify(self, event: AgentEvent) -> None:
        """Pass an event on to the observers."""
        for observer in self._observers:
            observer(event)

    def report(self) -> NodeReport:
        """The node as it is now. A GPU that is being changed is shown as it was before."""
        state = self.gpus.read()
        missing = {f"GPU {i}": f"does not answer: {why}" for i, why in state.missing.items()}
        missing |= {f"agent's {loop}": f"does not work: {why}" for loop, why in self.loops.problems().items()}
        return NodeReport(
            node=self.node,
            boot_id=self.gpus.boot,
            generation=(self._starts << 20) + state.changes,
            gpus=tuple(s.gpu for s in state.gpus.values()),
            models={g.model.id: g.model for g in self.gpus},
            allocations=self._claims.allocations(),
            driver=self._driver,
            simulated=environment.SIMULATED in self._settings,
            processes=tuple(p for s in state.gpus.values() for p in s.processes),
            notes=missing | self.remarks,
        )

    def driver_change(self) -> str:
        """Why this process cannot go on with the driver that it opened; "" where it can.

        After an upgrade the library in this process is not the driver's any more, and what was read is of another one.
        """
        loaded = procfs.nvidia_driver()
        if loaded and loaded != self._loaded:
            return "another NVIDIA driver was loaded"
        try:
            driver = self._locks.read_node("driver", self.nvml.driver_version)
        except LibraryMissing as e:
            return f"the NVIDIA driver was unloaded or replaced: {e}"
        except (NvmlError, Busy):
            return ""
        return "" if driver == self._driver else f"the NVIDIA driver was {self._driver} and is {driver}"

    def limit_processes(self, report: NodeReport) -> None:
        """Let the driver limit the claims whose processes a report found in cgroups of their own."""
        holds = [hold for of_claim in self._claims.held().values() for hold in of_claim]
        for gpu in self.gpus:
            found = [p for p in report.processes if p.gpu == gpu.uuid]
            with contextlib.suppress(Busy):
                self._locks.read(gpu, functools.partial(self.driver_limits.follow, found, holds))

    def divide_time(self, report: NodeReport) -> None:
        """Give the claims of each shared GPU their time slices, where the policy has any."""
        shares = self.host_shares
        if shares is None or shares.compute is ComputePolicy.EVEN:
            return
        since, self._launches_read_us = self._launches_read_us, int(time.time() * 1e6)
        for gpu in report.gpus:
            launching = launching_claims(report.processes, gpu.uuid, self._launching(gpu, since))
            shares.divide_time(gpu, launching)

    def _launching(self, gpu: Gpu, since_us: int) -> set[int] | None:
        """Pids that ran kernels since; None where the driver does not say."""
        if not gpu.parts:
            return None
        read = functools.partial(self.nvml.launching, gpu.uuid, since_us)
        try:
            return self._locks.read(self.gpus.by_uuid[gpu.uuid], read)
        except (NvmlError, Busy):
            return None


def _count_start(state_dir: Path) -> int:
    """How often an agent has started here: generations of a later start are higher."""
    path = state_dir / "starts"
    try:
        starts = int(path.read_text(encoding="ascii")) + 1
    except (FileNotFoundError, ValueError):
        starts = int(time.time())
    replace(path, str(starts).encode())
    return starts
