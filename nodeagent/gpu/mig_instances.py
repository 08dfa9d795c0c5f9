"""MIG instances as transactions on one GPU.

Write the intent -> destroy the idle instances in the way -> create the GPU instance -> create
the compute instance -> read back the UUID -> record -> return. Whatever interrupts it, `reconcile`
reads the hardware, matches it with the record and finishes or undoes; what it does not know it
leaves alone. The caller holds the GPU's lock.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodeagent.contract.allocation import Allocation, Busy, StaleAllocation, Unsupported
from nodeagent.gpu.events import EventKind
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.journal import records
from nodeagent.journal.records import Entry, GpuRecord, Hold, OwnedInstance
from nodeagent.nvml import HardwareInstance, InsufficientResources, InUse, MigMode, Nvml, NvmlError, NvmlNotFound
from solver.model.demand import DeviceShare
from solver.model.geometry import Placement, Profile, legal, unit_mask

STUCK = "the driver says in use and no process is found"


def prepare(nvml: Nvml, gpu: ManagedGpu, allocation: Allocation, share: DeviceShare) -> str:
    """Hold an instance for a share: the equal idle one, or a new one. Returns the MIG UUID."""
    claim = allocation.claim
    profile = _profile(gpu, share)
    placement = Placement(profile.name, share.start or 0)
    known = gpu.record.owned.get(placement)
    if known is not None and _alive(nvml, known):
        _refuse_unless_free(nvml, gpu, known, claim)
        if claim not in gpu.record.holds:
            gpu.journal.append(records.hold(Hold.of(allocation, share, known.uuid)))
            gpu.idle_since.pop(placement, None)
            gpu.notify(EventKind.REUSED, claim=claim, detail=_label(placement))
        return known.uuid
    present = reconcile(nvml, gpu)
    victims = _victims(nvml, gpu, profile, placement, present, claim)
    gpu.journal.append(records.intend(claim, [v.placement for v in victims], placement))
    gpu.needs_recovery = True
    for victim in victims:
        _destroy(nvml, gpu, victim)
    instance = _create(nvml, gpu, profile, placement)
    gpu.journal.append(
        *(records.removed(v.placement) for v in victims),
        records.created(instance),
        records.hold(Hold.of(allocation, share, instance.uuid)),
        records.ended(),
    )
    gpu.needs_recovery = False
    return instance.uuid


def clear(nvml: Nvml, gpu: ManagedGpu) -> None:
    """Destroy every instance of ours; the caller has made sure that all are idle."""
    idle = list(gpu.record.owned.values())
    if not idle:
        return
    gpu.journal.append(records.intend("", [o.placement for o in idle], None))
    gpu.needs_recovery = True
    for owned in idle:
        _destroy(nvml, gpu, owned)
    gpu.journal.append(*(records.removed(o.placement) for o in idle), records.ended())
    gpu.needs_recovery = False


def reconcile(nvml: Nvml, gpu: ManagedGpu) -> tuple[HardwareInstance, ...]:
    """Make hardware and record agree, whatever happened before; returns what is on the GPU then. Idempotent."""
    mode = mode_of(nvml, gpu)
    present = nvml.instances(gpu.info) if mode is not None and mode.current else ()
    stuck: list[OwnedInstance] = []
    for half in [i for i in present if _ours_half_made(gpu.record, i)]:
        try:
            nvml.destroy_gpu_instance(gpu.uuid, half.gi)
            present = tuple(i for i in present if i != half)
        except InUse:
            stuck.append(OwnedInstance(half.profile, half.start, half.size, half.gi, uuid=""))
    entries = [records.removed(o.placement) for o in gpu.record.owned.values() if not any(owns(o, i) for i in present)]
    entries += _adopted(gpu.record, present)
    for owned in stuck:
        entries += [records.created(owned), records.quarantine(owned.placement, STUCK)]
    if gpu.record.intent is not None:
        entries.append(records.ended())
    if entries:
        gpu.journal.append(*entries)
    gpu.needs_recovery = False
    return present


def mode_of(nvml: Nvml, gpu: ManagedGpu) -> MigMode | None:
    """The GPU's MIG mode, None where it has no MIG. Raises NvmlError.

    A driver that denies MIG where we have created instances is not believed: they would count as removed, and as
    foreign once it shows them again.
    """
    mode = nvml.mig_mode(gpu.uuid)
    if mode is None and (gpu.record.owned or gpu.record.intent is not None):
        raise NvmlError("the driver says that the GPU has no MIG, and we have created instances on it")
    return mode


def _ours_half_made(record: GpuRecord, instance: HardwareInstance) -> bool:
    """A GPU instance without a compute instance where a transaction of ours was interrupted, or got stuck."""
    if instance.compute:
        return False
    placement = Placement(instance.profile, instance.start)
    known = record.owned.get(placement)
    if known is not None and known.gi == instance.gi:
        return placement in record.quarantined or (record.intent is not None and placement in record.intent.destroy)
    return record.intent is not None and placement == record.intent.create


def owns(owned: OwnedInstance, instance: HardwareInstance) -> bool:
    """Whether this is the instance that we created: UUIDs are never used twice."""
    if owned.uuid:
        return instance.uuid == owned.uuid
    return not instance.compute and (instance.gi, instance.profile) == (owned.gi, owned.profile)


def _adopted(record: GpuRecord, present: Sequence[HardwareInstance]) -> list[Entry]:
    """An instance that was created in full and not recorded before the agent ended."""
    if record.intent is None or record.intent.create is None:
        return []
    for i in present:
        if Placement(i.profile, i.start) == record.intent.create and i.uuid is not None:
            return [records.created(OwnedInstance(i.profile, i.start, i.size, i.gi, i.uuid))]
    return []


def _profile(gpu: ManagedGpu, share: DeviceShare) -> Profile:
    profile = gpu.model.profile(share.profile or "")
    if profile is None or share.start not in profile.starts:
        raise StaleAllocation(
            f"{gpu.model.id} has no {share.profile} at {share.start}: the allocation was made for another GPU model"
        )
    return profile


def _alive(nvml: Nvml, owned: OwnedInstance) -> bool:
    try:
        return nvml.mig_device(owned.uuid) == owned.gi
    except NvmlNotFound:
        return False


def _refuse_unless_free(nvml: Nvml, gpu: ManagedGpu, owned: OwnedInstance, claim: str) -> None:
    """Raises Busy or StaleAllocation unless the instance is idle, or held by this very claim."""
    at = f"{owned.profile} at {owned.start} on GPU {gpu.uuid}"
    if owned.placement in gpu.record.quarantined:
        raise StaleAllocation(f"{at} is quarantined: {gpu.record.quarantined[owned.placement]}")
    holder = gpu.record.holder(owned.placement)
    if holder is not None and holder.claim != claim:
        raise Busy(f"{at} is still held by {holder.name}: try again when it has stopped")
    if holder is None:
        _refuse_processes(nvml, gpu, owned)


def _refuse_processes(nvml: Nvml, gpu: ManagedGpu, owned: OwnedInstance) -> None:
    pids = [p.pid for p in nvml.processes(gpu.uuid) if p.gi == owned.gi]
    if pids:
        raise Busy(
            f"{owned.profile} at {owned.start} on GPU {gpu.uuid} is still used by process {pids[0]}: "
            "try again when it has ended"
        )


def _victims(
    nvml: Nvml,
    gpu: ManagedGpu,
    profile: Profile,
    placement: Placement,
    present: Sequence[HardwareInstance],
    claim: str,
) -> list[OwnedInstance]:
    """The idle instances to destroy. Raises Busy or StaleAllocation where anything else is in the way."""
    mask = profile.mask(placement.start)
    for hold in gpu.record.holds.values():
        if hold.claim != claim and hold.share.mask & mask:
            raise Busy(f"{hold.name} still holds a part of {placement.profile} at {placement.start} on GPU {gpu.uuid}")
    victims, others = [], []
    for i in present:
        owned = next((o for o in gpu.record.owned.values() if owns(o, i)), None)
        overlaps = bool(unit_mask(i.start, i.size) & mask)
        if overlaps and owned is None:
            raise StaleAllocation(
                f"{i.profile} at {i.start} on GPU {gpu.uuid} was not made by this agent and is in the way"
            )
        if overlaps and owned is not None:
            _refuse_unless_free(nvml, gpu, owned, "")
            victims.append(owned)
        else:
            others.append((i, owned))
    return victims + _victims_elsewhere(nvml, gpu, placement, others)


def _victims_elsewhere(
    nvml: Nvml, gpu: ManagedGpu, placement: Placement, others: list[tuple[HardwareInstance, OwnedInstance | None]]
) -> list[OwnedInstance]:
    """Idle instances elsewhere on the GPU whose media engines the new one needs."""
    extra: list[OwnedInstance] = []
    idle = [o for _, o in others if o is not None and gpu.record.holder(o.placement) is None]
    while not legal(gpu.model, [placement, *(Placement(i.profile, i.start) for i, o in others if o not in extra)]):
        victim = next((o for o in idle if o not in extra and o.placement not in gpu.record.quarantined), None)
        if victim is None:
            raise StaleAllocation(
                f"{placement.profile} at {placement.start} does not go with what is on GPU {gpu.uuid}"
            )
        _refuse_processes(nvml, gpu, victim)
        extra.append(victim)
    return extra


def _destroy(nvml: Nvml, gpu: ManagedGpu, owned: OwnedInstance) -> None:
    """Compute instance first. In use with no process to be found: quarantined."""
    began = gpu.clock()
    try:
        nvml.destroy_compute_instance(gpu.uuid, owned.gi, 0)
        nvml.destroy_gpu_instance(gpu.uuid, owned.gi)
    except InUse as e:
        at = f"{owned.profile} at {owned.start} on GPU {gpu.uuid}"
        pids = [p.pid for p in nvml.processes(gpu.uuid) if p.gi == owned.gi]
        if pids:
            raise Busy(f"{at} is used by process {pids[0]}: try again when it has ended") from e
        gpu.journal.append(records.quarantine(owned.placement, STUCK))
        gpu.notify(EventKind.QUARANTINED, detail=_label(owned.placement), text=STUCK)
        raise StaleAllocation(f"{at} is quarantined: {STUCK}") from e
    gpu.idle_since.pop(owned.placement, None)
    gpu.notify(EventKind.DESTROYED, detail=_label(owned.placement), seconds=gpu.clock() - began)


def _label(placement: Placement) -> str:
    return f"{placement.profile}@{placement.start}"


def _create(nvml: Nvml, gpu: ManagedGpu, profile: Profile, placement: Placement) -> OwnedInstance:
    began = gpu.clock()
    try:
        gi = nvml.create_gpu_instance(gpu.info, profile, placement.start)
    except InsufficientResources as e:
        raise Busy(f"the driver has no room for {placement.profile} at {placement.start} on GPU {gpu.uuid}: {e}") from e
    uuid = nvml.create_compute_instance(gpu.info, gi, profile)
    gpu.notify(EventKind.CREATED, detail=_label(placement), seconds=gpu.clock() - began)
    return OwnedInstance(profile.name, placement.start, profile.size, gi, uuid)


def refuse_mode(nvml: Nvml, gpu: ManagedGpu, *, mig: bool) -> None:
    """Raises StaleAllocation or Unsupported unless the GPU's MIG mode is the one that a share needs."""
    mode = mode_of(nvml, gpu)
    if mode is None and mig:
        raise Unsupported(f"GPU {gpu.uuid} ({gpu.info.name}) has no MIG")
    if mode is not None and mode.current != mig:
        raise StaleAllocation(
            f"MIG mode of GPU {gpu.uuid} is {'on' if mode.current else 'off'}, the allocation needs the other"
        )
