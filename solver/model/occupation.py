"""What a share takes of a GPU, which shares may stand on one GPU together, and a GPU with a share laid over it.

Amounts of GPUs without MIG are counted in millionths of a GPU and in MiB, so that ten tenths are one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import NamedTuple

from solver.model.cluster import Backing, Gpu, Instance, InstanceState, SharedPart
from solver.model.demand import DeviceShare
from solver.model.geometry import GpuModel, media_fit

MILLIONTHS = 1_000_000


class Footprint(NamedTuple):
    """What a share takes of its GPU: units of a MIG instance (bit mask), else millionths of the GPU and MiB."""

    mask: int
    millionths: int
    memory_mib: int


def millionths(portion: float) -> int:
    """A portion of a GPU (0 to 1) in millionths."""
    return round(portion * MILLIONTHS)


def footprint(share: DeviceShare, gpu: Gpu) -> Footprint:
    """What the share takes of this GPU."""
    if share.backing is Backing.MIG:
        return Footprint(share.mask, 0, 0)
    if share.backing is Backing.WHOLE:
        return _whole(gpu)
    return Footprint(0, millionths(share.portion), share.memory_mib)


def plain_holders(gpu: Gpu) -> Iterator[tuple[str | None, Footprint]]:
    """The claims that hold a GPU whole or share it without MIG, and what each takes; None: processes of no claim."""
    if gpu.foreign_mib:
        yield None, Footprint(0, math.ceil(foreign_portion(gpu) * MILLIONTHS), gpu.foreign_mib)
    for part in gpu.parts:
        yield part.claim, Footprint(0, millionths(part.portion), part.memory_mib)
    if gpu.held_by:
        yield gpu.held_by, _whole(gpu)


def foreign_portion(gpu: Gpu) -> float:
    """The part of a GPU without MIG mode that processes of no claim take, 0 to 1."""
    return min(1.0, gpu.foreign_mib / gpu.memory_mib) if gpu.foreign_mib else 0.0


def _whole(gpu: Gpu) -> Footprint:
    return Footprint(0, MILLIONTHS, gpu.memory_mib)


def excludes(one: DeviceShare, other: DeviceShare) -> bool:
    """Whether two shares of one GPU cannot stand together, however little they take.

    A whole GPU excludes every other share; MIG instances exclude each other where their units overlap.
    """
    return Backing.WHOLE in (one.backing, other.backing) or bool(one.mask & other.mask)


def overfull(shares: Iterable[DeviceShare]) -> bool:
    """Whether shares of one GPU come to more than the GPU."""
    return sum(millionths(share.portion) for share in shares) > MILLIONTHS


def occupants(gpu: Gpu, share: DeviceShare) -> tuple[str, ...]:
    """Claims on the GPU whose shares exclude this one."""
    here = ((claim, other) for claim, other in _shares(gpu) if claim)
    return tuple(claim for claim, other in here if excludes(share, other))


def _shares(gpu: Gpu) -> Iterator[tuple[str | None, DeviceShare]]:
    """All that is on the GPU, as shares, with their claims. An instance's portion and memory are left out."""
    if gpu.held_by:
        yield gpu.held_by, DeviceShare(gpu.uuid, Backing.WHOLE, 1.0, gpu.memory_mib)
    for i in gpu.instances:
        yield i.claim, DeviceShare(gpu.uuid, Backing.MIG, 0.0, 0, i.profile, i.start, i.size)
    for part in gpu.parts:
        yield part.claim, DeviceShare(gpu.uuid, part.backing, part.portion, part.memory_mib)


def conflict(gpu: Gpu, share: DeviceShare, model: GpuModel | None) -> str:
    """Why the share cannot be given as the GPU is now, "" where it can. Idle instances give way to an instance.

    model: what is known of the GPU's geometry; an instance cannot be given without it.
    """
    if gpu.fenced:
        return f"GPU {gpu.uuid} is fenced: {gpu.fenced}"
    if gpu.held_by:
        return f"GPU {gpu.uuid} is held whole"
    if gpu.mig != (share.backing is Backing.MIG):
        return f"GPU {gpu.uuid} is {'in' if gpu.mig else 'not in'} MIG mode"
    if share.backing is Backing.MIG:
        return _instance_conflict(gpu, share, model)
    if share.backing is Backing.WHOLE:
        if gpu.foreign_mib:
            return f"processes of no claim hold {gpu.foreign_mib} MiB of GPU {gpu.uuid}"
        return f"GPU {gpu.uuid} is shared" if gpu.parts else ""
    memory = sum(part.memory_mib for part in gpu.parts) + gpu.foreign_mib + share.memory_mib
    parts = sum(millionths(part.portion) for part in gpu.parts) + millionths(share.portion)
    full = memory > gpu.memory_mib or parts > MILLIONTHS
    return f"GPU {gpu.uuid} has no {share.memory_mib} MiB left" if full else ""


def _instance_conflict(gpu: Gpu, share: DeviceShare, model: GpuModel | None) -> str:
    profile = model.profile(share.profile or "") if model else None
    if model is None or profile is None or share.start not in profile.starts or profile.size != share.size:
        return f"GPU {gpu.uuid} has no place for a {share.profile} at {share.start}"
    staying = [i for i in gpu.instances if i.state is not InstanceState.IDLE]
    if any(i.mask & share.mask for i in staying):
        return f"units {share.start} to {share.start + share.size - 1} of {gpu.uuid} are taken"
    beside = [known for i in staying if (known := model.profile(i.profile))]
    alike = sum(known.name == profile.name for known in beside)
    if alike >= profile.max_count or not media_fit(model, [*beside, profile]):
        return f"GPU {gpu.uuid} takes no {profile.name} beside {', '.join(known.name for known in beside)}"
    return ""


def occupied(gpu: Gpu, claim: str, *shares: DeviceShare) -> Gpu:
    """The GPU with all of the claim's shares of it, in place of what the claim has there already.

    An instance takes the place of the idle ones on its units.
    """
    if any(share.backing is Backing.WHOLE for share in shares):
        return replace(gpu, held_by=claim)
    instances = [
        Instance(share.profile or "", share.start or 0, share.size, InstanceState.BUSY, claim)
        for share in shares
        if share.backing is Backing.MIG
    ]
    if instances:
        units = reduce(or_, (share.mask for share in shares))
        others = [
            i for i in gpu.instances if not (i.mask & units and i.state is InstanceState.IDLE) and i.claim != claim
        ]
        return replace(gpu, instances=tuple(sorted((*others, *instances), key=lambda i: i.start)))
    parts = (SharedPart(claim, share.portion, share.memory_mib, share.backing) for share in shares)
    return replace(gpu, parts=(*(p for p in gpu.parts if p.claim != claim), *parts))


def all_occupied(gpu: Gpu, shares: Iterable[tuple[str, DeviceShare]]) -> Gpu:
    """The GPU with these shares, each with the claim that holds it, in place of what those claims have there."""
    held: dict[str, list[DeviceShare]] = {}
    for claim, share in shares:
        held.setdefault(claim, []).append(share)
    for claim, mine in held.items():
        gpu = occupied(gpu, claim, *mine)
    return gpu


def vacated(gpu: Gpu, claim: str) -> Gpu:
    """The GPU once the claim has left it: its instances stay behind, idle."""
    return replace(
        gpu,
        instances=tuple(
            replace(i, state=InstanceState.IDLE, claim=None) if i.claim == claim else i for i in gpu.instances
        ),
        parts=tuple(part for part in gpu.parts if part.claim != claim),
        held_by=None if gpu.held_by == claim else gpu.held_by,
    )
