"""What one GPU can be: profiles, placements and the rules that make a layout legal.

A GPU has `units` placement units (NVML calls them memory slices) and `slices` compute
slices. An instance of a profile occupies `size` units from one of the profile's `starts`.
Occupied units travel as an int bit mask, bit i for unit i.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass


def unit_mask(start: int, size: int) -> int:
    """Bits of `size` units from `start` on."""
    return ((1 << size) - 1) << start


@dataclass(frozen=True, slots=True)
class Engines:
    """Media engines of one instance, or of a whole GPU."""

    decoders: int
    jpeg: int
    ofa: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A MIG profile of one GPU model.

    name             as NVIDIA prints it, "2g.10gb", "1g.5gb+me"
    enum             NVML_GPU_INSTANCE_PROFILE_*, what nvmlDeviceGetGpuInstanceProfileInfo takes
    board_id         nvmlGpuInstanceProfileInfo.id, what nvmlDeviceCreateGpuInstance takes;
                     None where no source gives it
    slices           compute slices
    size             placement units it occupies
    starts           legal first units; empty where unknown (only live NVML can tell)
    memory_mib       usable memory; None where no source gives it
    max_count        instances of it on an empty GPU
    multiprocessors  SMs; None where no source gives it
    engines          media engines; None where no source gives them
    """

    name: str
    enum: int
    board_id: int | None
    slices: int
    size: int
    starts: tuple[int, ...]
    memory_mib: int | None
    max_count: int
    multiprocessors: int | None = None
    engines: Engines | None = None

    @property
    def variant(self) -> str:
        """The suffix after the memory size: "", "+me", "+me.all", "-me" or "+gfx"."""
        shape = self.name.find("gb")
        return self.name[shape + 2 :] if shape >= 0 else ""

    def mask(self, start: int) -> int:
        """The units of an instance that begins at `start`."""
        return unit_mask(start, self.size)


@dataclass(frozen=True, slots=True)
class Placement:
    """An instance's place on a GPU: the profile's name and its first unit."""

    profile: str
    start: int


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A GPU model: its size and, where it has MIG, its profile table.

    units and slices are 0 for a model without MIG. `engines` is the whole GPU's sum,
    which all instances together may not exceed.
    """

    id: str
    product: str
    architecture: str
    memory_mib: int
    units: int = 0
    slices: int = 0
    profiles: tuple[Profile, ...] = ()
    engines: Engines | None = None
    mig_mode_needs_reset: bool = False

    def __hash__(self) -> int:
        """By the id, which tells models apart: tables are looked up by model, often."""
        return hash(self.id)

    @property
    def full_mask(self) -> int:
        return (1 << self.units) - 1

    def profile(self, name: str) -> Profile | None:
        return next((p for p in self.profiles if p.name == name), None)


def legal(model: GpuModel, layout: Iterable[Placement]) -> bool:
    """Whether the hardware accepts these instances together.

    Starts must be legal, no two instances overlap, no profile exceeds its max_count, the
    media engines suffice, at most one instance has +me, and +me.all leaves only -me beside it.
    """
    occupied = 0
    count: dict[str, int] = {}
    chosen: list[Profile] = []
    for placement in layout:
        profile = model.profile(placement.profile)
        if profile is None or placement.start not in profile.starts:
            return False
        mask = profile.mask(placement.start)
        if occupied & mask:
            return False
        occupied |= mask
        count[profile.name] = count.get(profile.name, 0) + 1
        if count[profile.name] > profile.max_count:
            return False
        chosen.append(profile)
    return media_fit(model, chosen)


def media_fit(model: GpuModel, chosen: Collection[Profile]) -> bool:
    """Whether the media engines suffice for instances of these profiles on one GPU."""
    variants = [p.variant for p in chosen]
    if sum(v.startswith("+me") for v in variants) > 1:
        return False
    if "+me.all" in variants and any(v not in ("+me.all", "-me") for v in variants):
        return False
    if model.engines is None:
        return True
    known = [p.engines for p in chosen if p.engines is not None]
    return (
        sum(e.decoders for e in known) <= model.engines.decoders
        and sum(e.jpeg for e in known) <= model.engines.jpeg
        and sum(e.ofa for e in known) <= model.engines.ofa
    )


def placements(model: GpuModel, profiles: Iterable[str] | None = None) -> tuple[Placement, ...]:
    """Every (profile, start) of the model, or of the named profiles, in table order."""
    wanted = None if profiles is None else set(profiles)
    return tuple(
        Placement(p.name, start) for p in model.profiles if wanted is None or p.name in wanted for start in p.starts
    )


def layouts(model: GpuModel, profiles: Iterable[str] | None = None) -> Iterator[tuple[Placement, ...]]:
    """Every legal layout, the empty one included, each once (instances sorted by start)."""
    by_start = sorted(placements(model, profiles), key=lambda p: p.start)

    def extend(chosen: tuple[Placement, ...], first: int) -> Iterator[tuple[Placement, ...]]:
        yield chosen
        for i in range(first, len(by_start)):
            longer = (*chosen, by_start[i])
            if legal(model, longer):
                yield from extend(longer, i + 1)

    return extend((), 0)


def maximal(model: GpuModel, layout: tuple[Placement, ...], profiles: Iterable[str] | None = None) -> bool:
    """Whether no further instance (of the named profiles) fits beside the layout."""
    return not any(legal(model, (*layout, p)) for p in placements(model, profiles))
