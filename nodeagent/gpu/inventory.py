"""The actual state of a GPU, for reports: its layout, who holds what, its processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nodeagent.contract.allocation import GpuProcess
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.gpu.mig_instances import mode_of, owns
from nodeagent.gpu.mig_mode import waits_for_reset
from nodeagent.gpu.shared_gpu import SHARED
from nodeagent.journal.records import Hold, OwnedInstance
from nodeagent.nvml import HardwareInstance, Nvml
from solver.model.cluster import Backing, Gpu, Instance, InstanceState, SharedPart

ClaimOf = Callable[[int], str | None]
"""The uid of the claim that a pid belongs to; "" where it belongs to none, None where that cannot be told."""
IsLimited = Callable[[str, str], bool]
"""Whether the driver limits a claim, by its uid, on a GPU, by its UUID."""


NO_CLAIM = ""
"""The owner of a process that is known to belong to none."""
TOLERATED_MIB = 512
"""A display server, a monitoring agent and their contexts stay below this."""


@dataclass(frozen=True, slots=True)
class ObservedGpu:
    """One GPU at one moment. `processes`: on all of it and its instances."""

    gpu: Gpu
    processes: tuple[GpuProcess, ...] = ()


def read_state(nvml: Nvml, gpu: ManagedGpu, node: str, claim_of: ClaimOf, is_limited: IsLimited) -> ObservedGpu:
    """Read the hardware and match it with the record. Needs the GPU's lock. Raises NvmlError."""
    mode = mode_of(nvml, gpu)
    mig = mode is not None and mode.current
    present = nvml.instances(gpu.info) if mig else ()
    running = nvml.processes(gpu.uuid)
    claims = {p.pid: claim_of(p.pid) for p in running}
    processes = tuple(_process(gpu, p.pid, p.memory_mib, p.gi, present, claims[p.pid]) for p in running)
    occupied = {p.instance for p in processes}
    instances = [_instance(gpu, i, occupied) for i in present]
    seen = {i.uuid for i in present}
    instances += [_lost(h) for h in gpu.record.holds.values() if h.share.backing is Backing.MIG and h.uuid not in seen]
    state = _gpu(gpu, node, mig, tuple(sorted(instances, key=lambda i: i.start)))
    parts = tuple(replace(p, backing=_backing(is_limited(p.claim, gpu.uuid))) for p in state.parts)
    fenced = gpu.unschedulable or waits_for_reset(gpu, mode)
    unknown = {p.pid for p in running if claims[p.pid] is None}
    gpu.strangers = unknown & gpu.strangers if gpu.record.holds else unknown
    foreign = sum(p.memory_mib for p in running if claims[p.pid] == NO_CLAIM or p.pid in gpu.strangers)
    foreign = foreign if foreign > TOLERATED_MIB and not mig and not state.held_by else 0
    return ObservedGpu(replace(state, parts=parts, fenced=fenced, foreign_mib=foreign), processes)


def _backing(by_driver: bool) -> Backing:
    return Backing.DRIVER_LIMIT if by_driver else Backing.SOFTWARE


def unreadable(gpu: ManagedGpu, node: str, why: str) -> ObservedGpu:
    """A GPU that the driver does not show: fenced, with what its record says."""
    mig = bool(gpu.record.owned)
    instances = tuple(_lost(h) for h in gpu.record.holds.values() if h.share.backing is Backing.MIG)
    return ObservedGpu(replace(_gpu(gpu, node, mig, instances), fenced=why))


def _gpu(gpu: ManagedGpu, node: str, mig: bool, instances: tuple[Instance, ...]) -> Gpu:
    holds = gpu.record.holds.values()
    return Gpu(
        uuid=gpu.uuid,
        node=node,
        index=gpu.info.index,
        model=gpu.model.id,
        memory_mib=gpu.info.memory_mib,
        mig=mig,
        instances=instances,
        parts=tuple(
            SharedPart(h.claim, h.share.portion, h.share.memory_mib, h.share.backing)
            for h in holds
            if h.share.backing in SHARED
        ),
        held_by=next((h.claim for h in holds if h.share.backing is Backing.WHOLE), None),
        fenced=gpu.unschedulable,
        link_group=gpu.link_group,
    )


def _instance(gpu: ManagedGpu, i: HardwareInstance, occupied: set[str | None]) -> Instance:
    owned = next((o for o in gpu.record.owned.values() if owns(o, i)), None)
    holder = None if owned is None else gpu.record.holder(owned.placement)
    state = _state(gpu, owned, holder, i.uuid in occupied)
    return Instance(i.profile, i.start, i.size, state, holder.claim if holder else None, i.uuid)


def _state(gpu: ManagedGpu, owned: OwnedInstance | None, holder: Hold | None, has_process: bool) -> InstanceState:
    """An unheld instance with a process is busy until the process has ended."""
    if owned is None:
        return InstanceState.FOREIGN
    if owned.placement in gpu.record.quarantined:
        return InstanceState.QUARANTINED
    return InstanceState.BUSY if holder is not None or has_process else InstanceState.IDLE


def _lost(hold: Hold) -> Instance:
    """A held instance that does not exist: its placement stays taken until the claim is unprepared."""
    share = hold.share
    return Instance(share.profile or "", share.start or 0, share.size, InstanceState.BUSY, hold.claim, None)


def _process(
    gpu: ManagedGpu,
    pid: int,
    memory_mib: int,
    gi: int | None,
    present: tuple[HardwareInstance, ...],
    claim: str | None,
) -> GpuProcess:
    instance = next((i.uuid for i in present if i.gi == gi), None)
    holder = next((h.claim for h in gpu.record.holds.values() if instance is not None and h.uuid == instance), None)
    return GpuProcess(gpu.uuid, pid, memory_mib, claim or holder, instance)
