"""What one GPU's map consists of: blocks from left to right that fill it exactly.

A GPU in MIG mode is divided into its placement units, another one into MiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from migctl import quantities
from migctl.gpu_map.fleet import Fleet, Held, SeenGpu
from solver.model.cluster import Backing, Instance, InstanceState
from solver.model.occupation import foreign_portion


class BlockState(StrEnum):
    """How a block is drawn and what is written on it beside its holder.

    free    nobody holds it
    closed  nobody holds it, and nothing new may be placed there
    """

    BUSY = "busy"
    STARTING = "starting"
    LEAVING = "leaving"
    IDLE = "idle"
    FOREIGN = "foreign"
    QUARANTINED = "quarantined"
    FREE = "free"
    CLOSED = "closed"


NOBODYS = (BlockState.FREE, BlockState.CLOSED)


@dataclass(frozen=True)
class Block:
    """A part of a GPU.

    size    placement units, or MiB on a GPU without MIG
    title   what it is: a profile, an amount of memory, "whole"
    holder  the workload that holds it, "" for nobody
    start   its first unit (MIG only); uuid: of the MIG instance
    """

    state: BlockState
    size: int
    title: str = ""
    holder: str = ""
    project: str = ""
    start: int | None = None
    uuid: str = ""
    whole: bool = False

    @property
    def label(self) -> str:
        """Who holds it, or in which state it is; both where a holder is coming."""
        if self.state in (BlockState.BUSY, *NOBODYS):
            return self.holder
        return f"{self.holder} ({self.state})" if self.holder else self.state.value


def blocks(seen: SeenGpu, fleet: Fleet) -> tuple[Block, ...]:
    """The GPU's blocks; their sizes add up to its units, or to its MiB without MIG."""
    found = _blocks(seen, fleet)
    if not closed(seen):
        return found
    return tuple(replace(b, state=BlockState.CLOSED) if b.state is BlockState.FREE else b for b in found)


def closed(seen: SeenGpu) -> tuple[str, ...]:
    """Why nothing new may be placed on it; empty where it may."""
    whys = ("" if seen.node.status.ready else "node not ready", "node cordoned" if seen.node.spec.cordoned else "")
    fenced = f"fenced: {seen.gpu.fenced}" if seen.gpu.fenced else ""
    return tuple(why for why in (*whys, fenced) if why)


def _blocks(seen: SeenGpu, fleet: Fleet) -> tuple[Block, ...]:
    if seen.gpu.mig:
        return tuple(_with_free_units(_instances(seen, fleet), seen.model.units))
    holder = next((held for held in seen.held if held.share.backing is Backing.WHOLE), None)
    if holder is not None or seen.gpu.held_by:
        return (_whole(seen, holder),)
    return tuple(_parts(seen, fleet))


def free(seen: SeenGpu) -> float:
    """What can still be allocated, in GPUs of the quota currency; idle instances count as free."""
    others = (BlockState.FOREIGN, BlockState.QUARANTINED)
    lost = sum(_slices(seen, i) for i in seen.gpu.instances if BlockState(i.state) in others)
    lost += foreign_portion(seen.gpu)
    return 0.0 if closed(seen) else max(0.0, 1.0 - seen.used - lost)


def _slices(seen: SeenGpu, instance: Instance) -> float:
    profile = seen.model.profile(instance.profile)
    return profile.slices / seen.model.slices if profile else instance.size / seen.model.units


def _instances(seen: SeenGpu, fleet: Fleet) -> list[Block]:
    """Instances as reported, with those over them that are allocated and not made yet."""
    claims = {instance.claim for instance in seen.gpu.instances if instance.state is InstanceState.BUSY}
    coming = [held for held in seen.held if held.claim.meta.uid not in claims and held.share.start is not None]
    taken = 0
    for held in coming:
        taken |= held.share.mask
    there = [_reported(instance, seen, fleet) for instance in seen.gpu.instances if not instance.mask & taken]
    return sorted([*there, *(_coming(held) for held in coming)], key=lambda block: block.start or 0)


def _reported(instance: Instance, seen: SeenGpu, fleet: Fleet) -> Block:
    held = next((held for held in seen.held if held.claim.meta.uid == instance.claim), None)
    state = BlockState(instance.state)
    if state is BlockState.BUSY and held is None:
        state = BlockState.LEAVING
    claim = fleet.claims.get(instance.claim or "")
    return Block(
        state=state,
        size=instance.size,
        title=instance.profile,
        holder=claim.spec.workload if claim else "",
        project=claim.meta.project if claim else "",
        start=instance.start,
        uuid=instance.uuid or "",
    )


def _coming(held: Held) -> Block:
    share = held.share
    return Block(BlockState.STARTING, share.size, share.profile or "", *_holder(held), start=share.start)


def _holder(held: Held) -> tuple[str, str]:
    return held.claim.spec.workload, held.claim.meta.project


def _with_free_units(found: list[Block], units: int) -> Iterator[Block]:
    position = 0
    for block in found:
        start = block.start or 0
        yield from (Block(BlockState.FREE, 1, start=unit) for unit in range(position, start))
        yield block
        position = start + block.size
    yield from (Block(BlockState.FREE, 1, start=unit) for unit in range(position, units))


def _whole(seen: SeenGpu, held: Held | None) -> Block:
    size = seen.gpu.memory_mib
    if held is None:
        return Block(BlockState.LEAVING, size, "whole", whole=True)
    state = BlockState.BUSY if seen.gpu.held_by else BlockState.STARTING
    return Block(state, size, "whole", *_holder(held), whole=True)


def _parts(seen: SeenGpu, fleet: Fleet) -> Iterator[Block]:
    ready = {part.claim for part in seen.gpu.parts}
    known = {held.claim.meta.uid for held in seen.held}
    position = 0
    for held in seen.held:
        state = BlockState.BUSY if held.claim.meta.uid in ready else BlockState.STARTING
        title = f"{quantities.portion_text(held.share.portion)}, {quantities.memory_text(held.share.memory_mib)}"
        yield Block(state, held.share.memory_mib, f"{title}, {fleet.backing(held)}", *_holder(held))
        position += held.share.memory_mib
    for part in seen.gpu.parts:
        if part.claim not in known:
            yield Block(BlockState.LEAVING, part.memory_mib, quantities.memory_text(part.memory_mib))
            position += part.memory_mib
    if seen.gpu.foreign_mib:
        foreign = min(seen.gpu.foreign_mib, seen.gpu.memory_mib - position)
        yield Block(BlockState.FOREIGN, foreign, quantities.memory_text(seen.gpu.foreign_mib))
        position += foreign
    left = seen.gpu.memory_mib - position
    if left > 0:
        yield Block(BlockState.FREE, left, quantities.memory_text(left))
