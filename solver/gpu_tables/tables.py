"""What one GPU model allows, looked up instead of computed: slots, options for a demand, room left.

A slot is a profile at one of its legal starts. `Table.room(mask)` is the size of all slots that are
still free, the score by which a place is chosen: the more left, the better. Media variants and profiles
with more memory than their compute slices come with do not count: they are rarely requested.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

from solver.model.cluster import Backing, Gpu
from solver.model.demand import Demand, DeviceShare, Fraction, Memory, MigProfile, OneDemand, WholeGpus, by_part
from solver.model.geometry import GpuModel, Placement, Profile, media_fit
from solver.model.snapshot import MemoryRule

OPTIONS_CACHED = 4096


@dataclass(frozen=True, slots=True)
class Slot:
    """A profile at a legal start."""

    profile: Profile
    start: int
    mask: int


@dataclass(frozen=True, slots=True)
class ShareOption:
    """One way to serve one device of a demand. `profile` is None for shares without MIG."""

    backing: Backing
    portion: float
    memory_mib: int
    profile: Profile | None = None

    def share(self, gpu: Gpu, start: int | None = None) -> DeviceShare:
        if self.profile is None:
            return DeviceShare(gpu.uuid, self.backing, self.portion, self.memory_mib)
        return DeviceShare(
            gpu.uuid, self.backing, self.portion, self.memory_mib, self.profile.name, start, self.profile.size
        )


class Table:
    """The slots of one GPU model. Made once per model: `table(model)`."""

    def __init__(self, model: GpuModel) -> None:
        self.model = model
        self.slots = tuple(Slot(p, start, p.mask(start)) for p in model.profiles for start in p.starts)
        self.by_profile = {
            p.name: tuple(slot for slot in self.slots if slot.profile is p) for p in model.profiles if p.starts
        }
        usual: dict[int, int] = {}
        for profile in model.profiles:
            if profile.starts and not profile.variant:
                usual[profile.slices] = min(profile.size, usual.get(profile.slices, profile.size))
        self.usual = tuple(p for p in model.profiles if p.starts and not p.variant and p.size == usual[p.slices])
        self._usual_slots = tuple(slot for slot in self.slots if slot.profile in self.usual)
        self._room: dict[int, int] = {}
        self._beside: dict[tuple[str, ...], bool] = {}
        self._options: dict[tuple[OneDemand, MemoryRule], tuple[ShareOption, ...]] = {}

    def room(self, mask: int) -> int:
        """The units of the free slots, added up, when the units of `mask` are taken."""
        if mask not in self._room:
            self._room[mask] = sum(slot.profile.size for slot in self._usual_slots if not slot.mask & mask)
        return self._room[mask]

    def free_slots(self, mask: int) -> int:
        """How many slots are free when the units of `mask` are taken."""
        return sum(not slot.mask & mask for slot in self._usual_slots)

    def beside(self, names: tuple[str, ...]) -> bool:
        """Whether instances of these profiles may share one GPU (media engines, counts), units apart.

        Names the model does not know (a foreign instance's) do not count.
        """
        key = tuple(sorted(names))
        if key not in self._beside:
            known = [p for name in key if (p := self.model.profile(name))]
            self._beside[key] = media_fit(self.model, known) and all(key.count(p.name) <= p.max_count for p in known)
        return self._beside[key]

    def mask_of(self, instance: Placement) -> int:
        """The units of an instance; 0 for a profile that the model does not know."""
        profile = self.model.profile(instance.profile)
        return profile.mask(instance.start) if profile else 0

    def in_the_way(
        self, slot: Slot, mask: int, names: Iterable[str], idle: Iterable[Placement]
    ) -> tuple[Placement, ...] | None:
        """The fewest of the `idle` to destroy so that `slot` is legal beside what stays; None: it never is.

        mask, names: units and profiles of what stays.
        """
        if mask & slot.mask:
            return None
        hit = [i for i in idle if self.mask_of(i) & slot.mask]
        spared = [i for i in idle if i not in hit]
        staying = (slot.profile.name, *names)
        for count in range(len(spared) + 1):
            for removed in combinations(spared, count):
                if self.beside((*staying, *(i.profile for i in spared if i not in removed))):
                    return (*hit, *removed)
        return None

    def weight(self, profile: Profile) -> float:
        """An instance's part of the GPU: the mean of its part of the SMs and of the memory."""
        full = max((p.multiprocessors or 0 for p in self.model.profiles), default=0)
        compute = profile.multiprocessors / full if profile.multiprocessors and full else self._slices(profile)
        memory = (profile.memory_mib or 0) / self.model.memory_mib or profile.size / self.model.units
        return (compute + memory) / 2

    def _slices(self, profile: Profile) -> float:
        return profile.slices / self.model.slices

    def mig_options(self, demand: OneDemand, rule: MemoryRule) -> tuple[ShareOption, ...]:
        """Profiles that serve one device of the demand, best first."""
        key = (demand, rule)
        if key not in self._options:
            if len(self._options) >= OPTIONS_CACHED:
                self._options.clear()
            self._options[key] = tuple(self._option(p) for p in _profiles_for(self.model, demand, rule))
        return self._options[key]

    def _option(self, profile: Profile) -> ShareOption:
        usable = profile.memory_mib or self.model.memory_mib * profile.size // self.model.units
        return ShareOption(Backing.MIG, self._slices(profile), usable, profile)


@cache
def table(model: GpuModel) -> Table:
    return Table(model)


def _profiles_for(model: GpuModel, demand: OneDemand, rule: MemoryRule) -> tuple[Profile, ...]:
    if isinstance(demand, MigProfile):
        named = model.profile(demand.profile)
        return (named,) if named and named.starts else ()
    plain = [p for p in model.profiles if p.starts and not p.variant]
    if isinstance(demand, WholeGpus):
        # CUDA uses one instance per process: several GPUs of one program are given without MIG only.
        return tuple(p for p in plain if p.slices == model.slices)[:1] if demand.devices == 1 else ()
    if isinstance(demand, Fraction):
        units = math.ceil(round(demand.portion * model.units, 6))
        big_enough = [p for p in plain if p.size >= units]
    else:
        big_enough = [p for p in plain if p.memory_mib is not None and p.memory_mib >= demand.mib]
    smallest = min((p.size for p in big_enough), default=0)
    return tuple(sorted((p for p in big_enough if p.size == smallest), key=lambda p: _preference(model, p, rule)))


def _preference(model: GpuModel, profile: Profile, rule: MemoryRule) -> tuple[float, int]:
    if rule is MemoryRule.LEAST_COMPUTE:
        return 0.0, profile.slices
    return abs(profile.slices - profile.size / model.units * model.slices), profile.slices


def plain_option(demand: OneDemand, memory_mib: int) -> ShareOption | None:
    """How a GPU without MIG, of this memory, serves one device of the demand; None where it cannot."""
    if isinstance(demand, WholeGpus):
        return ShareOption(Backing.WHOLE, 1.0, memory_mib)
    if isinstance(demand, Fraction):
        return ShareOption(Backing.SOFTWARE, demand.portion, math.floor(round(demand.portion * memory_mib, 6)))
    if isinstance(demand, Memory) and demand.mib <= memory_mib:
        return ShareOption(Backing.SOFTWARE, demand.mib / memory_mib, demand.mib)
    return None


def rounding(demand: Demand, devices: Sequence[DeviceShare]) -> str:
    """What was given beyond the request, "" where it is exact: "10 GB -> 2g.10gb (9856 MiB)"."""
    texts = (_rounding(part, shares[0]) for part, shares in by_part(demand, devices))
    return "; ".join(dict.fromkeys(filter(None, texts)))


def _rounding(demand: OneDemand, share: DeviceShare) -> str:
    if share.profile is None or isinstance(demand, MigProfile):
        return ""
    if isinstance(demand, WholeGpus):
        return f"1 GPU -> {share.profile} ({share.memory_mib} MiB): the GPU is in MIG mode"
    if isinstance(demand, Memory) and demand.mib == share.memory_mib:
        return ""
    requested = size_text(demand.mib) if isinstance(demand, Memory) else f"{demand.portion:g} GPU"
    return f"{requested} -> {share.profile} ({share.memory_mib} MiB)"


def size_text(mib: int) -> str:
    """Memory as people wrote it: 9537 MiB is what "10GB" comes to."""
    gigabytes = round(mib * 2**20 / 1e9)
    if mib % 1024 == 0:
        return f"{mib // 1024} GiB"
    return f"{gigabytes} GB" if gigabytes and math.ceil(gigabytes * 1e9 / 2**20) == mib else f"{mib} MiB"
