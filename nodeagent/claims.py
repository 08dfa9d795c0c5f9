"""What each claim holds of this node's GPUs: one share of one GPU prepared, released, counted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from nodeagent.contract.allocation import AgentError, Allocation, Busy, Fenced, StaleAllocation, Unsupported
from nodeagent.gpu import mig_instances, shared_gpu
from nodeagent.gpu.inventory import ClaimOf
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.gpu.recovery import as_agent_error, recover, recover_if_needed
from nodeagent.journal import records
from nodeagent.journal.records import Hold
from nodeagent.nvml import Lost, Nvml, NvmlError
from nodeagent.shares.driver_limits import DriverLimits
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare


class Claims:
    """The claims of the GPUs in `gpus`, by UUID. Methods that take a GPU need its lock.

    processes_of  the live processes of a claim on this host, found without the driver
    """

    def __init__(
        self,
        nvml: Nvml,
        gpus: Mapping[str, ManagedGpu],
        node: str,
        claim_of: ClaimOf,
        limits: DriverLimits,
        processes_of: Callable[[str], Collection[int]],
    ) -> None:
        self._nvml, self._gpus, self._node, self._claim_of, self._limits = nvml, gpus, node, claim_of, limits
        self._processes_on_host = processes_of

    def held(self) -> dict[str, list[Hold]]:
        """What each claim holds, by uid."""
        held: dict[str, list[Hold]] = {}
        for gpu in list(self._gpus.values()):
            for hold in list(gpu.record.holds.values()):
                held.setdefault(hold.claim, []).append(hold)
        return held

    def allocations(self) -> tuple[Allocation, ...]:
        """What each claim holds, as it was allocated, by uid in order."""
        held = self.held()
        return tuple(
            Allocation(claim, holds[0].name, holds[0].project, self._node, tuple(hold.share for hold in holds))
            for claim, holds in sorted(held.items())
        )

    def gpus_of(self, allocation: Allocation) -> list[ManagedGpu]:
        """The GPU of each device. Raises StaleAllocation where the allocation is not for this node as it is."""
        if allocation.node != self._node:
            raise StaleAllocation(f"{allocation.name} was allocated on node {allocation.node}, this is {self._node}")
        uuids = [share.gpu for share in allocation.devices]
        unknown = [u for u in uuids if u not in self._gpus]
        if unknown:
            raise StaleAllocation(f"node {self._node} has no GPU {unknown[0]} (any more)")
        if not uuids or len(set(uuids)) < len(uuids):
            raise StaleAllocation(f"the allocation of {allocation.name} names no GPU, or one GPU twice")
        return [self._gpus[u] for u in uuids]

    def prepare_device(self, gpu: ManagedGpu, share: DeviceShare, allocation: Allocation) -> None:
        """Hold a share for a claim, again or anew. Raises AgentError with nothing half-done."""
        hold = gpu.record.holds.get(allocation.claim)
        if hold is not None and hold.share != share:
            raise StaleAllocation(
                f"{allocation.name} already holds another share of GPU {gpu.uuid}: unprepare it first"
            )
        if hold is None and gpu.fault:
            raise Fenced(f"GPU {gpu.uuid} is fenced: {gpu.fault}")
        if hold is None and gpu.reserved:
            raise Busy(f"the MIG mode of GPU {gpu.uuid} is being switched: try again")
        try:
            if gpu.needs_recovery:
                recover(self._nvml, gpu)
            mig_instances.refuse_mode(self._nvml, gpu, mig=share.backing is Backing.MIG)
            if share.backing is Backing.MIG:
                mig_instances.prepare(self._nvml, gpu, allocation, share)
            elif hold is None:
                limitable = self._limits.is_supported(gpu.uuid) if share.backing is not Backing.WHOLE else False
                if share.backing is Backing.DRIVER_LIMIT and not limitable:
                    raise Unsupported(f"the driver of GPU {gpu.uuid} cannot limit memory: R615 can, with MIG off")
                shared_gpu.prepare(gpu, allocation, share)
        except NvmlError as e:
            self._nvml.forget(gpu.uuid)
            recover_if_needed(self._nvml, gpu)
            raise as_agent_error(gpu, e) from e
        except AgentError:
            recover_if_needed(self._nvml, gpu)
            raise

    def release(self, claim: str, gpus: Iterable[ManagedGpu]) -> None:
        """Undo a Prepare that failed elsewhere; what cannot be written is released at the next start."""
        for gpu in gpus:
            if claim in gpu.record.holds:
                with contextlib.suppress(AgentError):
                    gpu.journal.append(records.release(claim))

    def release_incomplete(self) -> None:
        """Release claims of which only some devices are held: the agent ended within Prepare. At the start only."""
        for claim, holds in self.held().items():
            if len(holds) < holds[0].devices:
                self.release(claim, self._gpus.values())

    def unprepare_device(self, gpu: ManagedGpu, claim: str) -> None:
        """Release a claim's share; its instance stays, idle. Raises Busy while a process of the claim uses the GPU."""
        hold = gpu.record.holds.get(claim)
        if hold is None:
            return
        try:
            pids = list(self._processes_of(gpu, hold))
        except Lost:
            pids = []  # nothing runs on a GPU that fell off the bus
        except NvmlError as e:
            # A driver that was upgraded never answers: what has ended holds nothing, whoever says so.
            pids = list(self._processes_on_host(claim))
            if pids:
                raise Busy(
                    f"{hold.name} still runs as process {pids[0]}, and GPU {gpu.uuid} does not answer: {e}"
                ) from e
        if pids:
            raise Busy(f"{hold.name} still runs on GPU {gpu.uuid} as process {pids[0]}: try again when it has ended")
        gpu.journal.append(records.release(claim))
        if hold.placement is not None:
            gpu.idle_since[hold.placement] = gpu.clock()

    def _processes_of(self, gpu: ManagedGpu, hold: Hold) -> Iterator[int]:
        owned = None if hold.placement is None else gpu.record.owned.get(hold.placement)
        for process in self._nvml.processes(gpu.uuid):
            match hold.share.backing:
                case Backing.WHOLE if self._claim_of(process.pid) in (hold.claim, None):
                    yield process.pid
                case Backing.MIG if owned is not None and process.gi == owned.gi:
                    yield process.pid
                case backing if backing in shared_gpu.SHARED and self._claim_of(process.pid) == hold.claim:
                    yield process.pid
