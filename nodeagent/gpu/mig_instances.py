"""MIG instances as transactions on one GPU.

Write the intent -> destroy the idle instances in the way -> create the GPU instance -> create
the compute instance -> read back the UUID -> record -> answer. Whatever interrupts it, `settle`
reads the hardware, matches it with the record and finishes or undoes; what it does not know it
leaves alone. The caller holds the GPU's turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodeagent.contract.allocation import Busy, StaleAllocation, Unsupported
from nodeagent.gpu.events import EventKind
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.journal import records
from nodeagent.journal.records import Entry, GpuRecord, Hold, Owned
from nodeagent.nvml import HardwareInstance, InsufficientResources, InUse, MigMode, Nvml, NvmlError, NvmlNotFound
from solver.model.demand import DeviceShare
from solver.model.geometry import Placement, Profile, legal

STUCK = "the driver says in use and no process is found"


def prepare(nvml: Nvml, gpu: ManagedGpu, claim: str, name: str, share: DeviceShare, devices: int) -> str:
    """Hold an instance for a share: the equal idle one, or a new one. Returns the MIG UUID."""
    profile = _profile(gpu, share)
    place = Placement(profile.name, share.start or 0)
    known = gpu.record.owned.get(place)
    if known is not None and _alive(nvml, known):
        _refuse_unless_free(nvml, gpu, known, claim)
        if claim not in gpu.record.holds:
            gpu.journal.append(records.hold(Hold(claim, name, share, known.uuid, devices)))
            gpu.idle_since.pop(place, None)
            gpu.tell(EventKind.REUSED, claim=claim, detail=_at(place))
        return known.uuid
    present = settle(nvml, gpu)
    victims = _in_the_way(nvml, gpu, profile, place, present, claim)
    gpu.journal.append(records.intend(claim, [v.place for v in victims], place))
    gpu.unsettled = True
    for victim in victims:
        _destroy(nvml, gpu, victim)
    made = _create(nvml, gpu, profile, place)
    gpu.journal.append(
        *(records.gone(v.place) for v in victims),
        records.made(made),
        records.hold(Hold(claim, name, share, made.uuid, devices)),
        records.settled(),
    )
    gpu.unsettled = False
    return made.uuid


def clear(nvml: Nvml, gpu: ManagedGpu) -> None:
    """Destroy every instance of ours; the caller has made sure that all are idle."""
    idle = list(gpu.record.owned.values())
    if not idle:
        return
    gpu.journal.append(records.intend("", [o.place for o in idle], None))
    gpu.unsettled = True
    for owned in idle:
        _destroy(nvml, gpu, owned)
    gpu.journal.append(*(records.gone(o.place) for o in idle), records.settled())
    gpu.unsettled = False


def settle(nvml: Nvml, gpu: ManagedGpu) -> tuple[HardwareInstance, ...]:
    """Make hardware and record agree after anything; what is on the GPU then. Idempotent."""
    mode = mode_of(nvml, gpu)
    present = nvml.instances(gpu.board) if mode is not None and mode.current else ()
    stuck: list[Owned] = []
    for half in [i for i in present if _ours_half_made(gpu.record, i)]:
        try:
            nvml.destroy_gpu_instance(gpu.uuid, half.gi)
            present = tuple(i for i in present if i != half)
        except InUse:
            stuck.append(Owned(half.profile, half.start, half.size, half.gi, uuid=""))
    entries = [records.gone(o.place) for o in gpu.record.owned.values() if not any(owns(o, i) for i in present)]
    entries += _adopted(gpu.record, present)
    for owned in stuck:
        entries += [records.made(owned), records.quarantine(owned.place, STUCK)]
    if gpu.record.intent is not None:
        entries.append(records.settled())
    if entries:
        gpu.journal.append(*entries)
    gpu.unsettled = False
    return present


def mode_of(nvml: Nvml, gpu: ManagedGpu) -> MigMode | None:
    """The GPU's MIG mode, None where it has no MIG. Raises NvmlError.

    A driver that denies MIG where we have made instances is not believed: they would be taken for gone, and
    for somebody else's when it remembers them.
    """
    mode = nvml.mig_mode(gpu.uuid)
    if mode is None and (gpu.record.owned or gpu.record.intent is not None):
        raise NvmlError("the driver says that the GPU has no MIG, and we have made instances on it")
    return mode


def _ours_half_made(record: GpuRecord, instance: HardwareInstance) -> bool:
    """A GPU instance without a compute instance where we were creating or destroying, or got stuck."""
    if instance.compute:
        return False
    place = Placement(instance.profile, instance.start)
    known = record.owned.get(place)
    if known is not None and known.gi == instance.gi:
        return place in record.quarantined or (record.intent is not None and place in record.intent.destroy)
    return record.intent is not None and place == record.intent.create


def owns(owned: Owned, instance: HardwareInstance) -> bool:
    """Whether this is the very instance that we made: UUIDs are never used twice."""
    if owned.uuid:
        return instance.uuid == owned.uuid
    return not instance.compute and (instance.gi, instance.profile) == (owned.gi, owned.profile)


def _adopted(record: GpuRecord, present: Sequence[HardwareInstance]) -> list[Entry]:
    """An instance that we finished creating and did not live to record."""
    if record.intent is None or record.intent.create is None:
        return []
    for i in present:
        if Placement(i.profile, i.start) == record.intent.create and i.uuid is not None:
            return [records.made(Owned(i.profile, i.start, i.size, i.gi, i.uuid))]
    return []


def _profile(gpu: ManagedGpu, share: DeviceShare) -> Profile:
    profile = gpu.model.profile(share.profile or "")
    if profile is None or share.start not in profile.starts:
        raise StaleAllocation(
            f"{gpu.model.id} has no {share.profile} at {share.start}: the allocation was made for another GPU model"
        )
    return profile


def _alive(nvml: Nvml, owned: Owned) -> bool:
    try:
        return nvml.mig_device(owned.uuid) == owned.gi
    except NvmlNotFound:
        return False


def _refuse_unless_free(nvml: Nvml, gpu: ManagedGpu, owned: Owned, claim: str) -> None:
    """Raises Busy or StaleAllocation unless the instance is idle, or held by this very claim."""
    at = f"{owned.profile} at {owned.start} on GPU {gpu.uuid}"
    if owned.place in gpu.record.quarantined:
        raise StaleAllocation(f"{at} is quarantined: {gpu.record.quarantined[owned.place]}")
    holder = gpu.record.holder(owned.place)
    if holder is not None and holder.claim != claim:
        raise Busy(f"{at} is still held by {holder.name}: try again when it has stopped")
    if holder is None:
        _refuse_processes(nvml, gpu, owned)


def _refuse_processes(nvml: Nvml, gpu: ManagedGpu, owned: Owned) -> None:
    pids = [p.pid for p in nvml.processes(gpu.uuid) if p.gi == owned.gi]
    if pids:
        raise Busy(
            f"{owned.profile} at {owned.start} on GPU {gpu.uuid} is still used by process {pids[0]}: "
            "try again when it has ended"
        )


def _in_the_way(
    nvml: Nvml,
    gpu: ManagedGpu,
    profile: Profile,
    place: Placement,
    present: Sequence[HardwareInstance],
    claim: str,
) -> list[Owned]:
    """The idle instances to destroy. Raises Busy or StaleAllocation where something else is in the way."""
    wanted = profile.mask(place.start)
    for hold in gpu.record.holds.values():
        if hold.claim != claim and hold.mask & wanted:
            raise Busy(f"{hold.name} still holds a part of {place.profile} at {place.start} on GPU {gpu.uuid}")
    victims, kept = [], []
    for i in present:
        owned = next((o for o in gpu.record.owned.values() if owns(o, i)), None)
        overlaps = bool(((1 << i.size) - 1) << i.start & wanted)
        if overlaps and owned is None:
            raise StaleAllocation(
                f"{i.profile} at {i.start} on GPU {gpu.uuid} was not made by this agent and is in the way"
            )
        if overlaps and owned is not None:
            _refuse_unless_free(nvml, gpu, owned, "")
            victims.append(owned)
        else:
            kept.append((i, owned))
    return victims + _rivals(nvml, gpu, place, kept)


def _rivals(
    nvml: Nvml, gpu: ManagedGpu, place: Placement, kept: list[tuple[HardwareInstance, Owned | None]]
) -> list[Owned]:
    """Idle instances elsewhere on the GPU whose media engines the new one needs."""
    chosen: list[Owned] = []
    idle = [o for _, o in kept if o is not None and gpu.record.holder(o.place) is None]
    while not legal(gpu.model, [place, *(Placement(i.profile, i.start) for i, o in kept if o not in chosen)]):
        rival = next((o for o in idle if o not in chosen and o.place not in gpu.record.quarantined), None)
        if rival is None:
            raise StaleAllocation(f"{place.profile} at {place.start} does not go with what is on GPU {gpu.uuid}")
        _refuse_processes(nvml, gpu, rival)
        chosen.append(rival)
    return chosen


def _destroy(nvml: Nvml, gpu: ManagedGpu, owned: Owned) -> None:
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
        gpu.journal.append(records.quarantine(owned.place, STUCK))
        gpu.tell(EventKind.QUARANTINED, detail=_at(owned.place), text=STUCK)
        raise StaleAllocation(f"{at} is quarantined: {STUCK}") from e
    gpu.idle_since.pop(owned.place, None)
    gpu.tell(EventKind.DESTROYED, detail=_at(owned.place), seconds=gpu.clock() - began)


def _at(place: Placement) -> str:
    return f"{place.profile}@{place.start}"


def _create(nvml: Nvml, gpu: ManagedGpu, profile: Profile, place: Placement) -> Owned:
    began = gpu.clock()
    try:
        gi = nvml.create_gpu_instance(gpu.board, profile, place.start)
    except InsufficientResources as e:
        raise Busy(f"the driver has no room for {place.profile} at {place.start} on GPU {gpu.uuid}: {e}") from e
    uuid = nvml.create_compute_instance(gpu.board, gi, profile)
    gpu.tell(EventKind.CREATED, detail=_at(place), seconds=gpu.clock() - began)
    return Owned(profile.name, place.start, profile.size, gi, uuid)


def refuse_mode(nvml: Nvml, gpu: ManagedGpu, *, mig: bool) -> None:
    """Raises StaleAllocation or Unsupported unless the GPU's MIG mode is the one that a share needs."""
    mode = mode_of(nvml, gpu)
    if mode is None and mig:
        raise Unsupported(f"GPU {gpu.uuid} ({gpu.board.name}) has no MIG")
    if mode is not None and mode.current != mig:
        raise StaleAllocation(
            f"MIG mode of GPU {gpu.uuid} is {'on' if mode.current else 'off'}, the allocation needs the other"
        )
