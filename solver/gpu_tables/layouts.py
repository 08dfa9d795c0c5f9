"""All layouts of one GPU model as bit sets, for arithmetic over many GPUs at once.

A slot is a profile at a legal start; bit i of a set stands for slot i. Which slots exclude each
other (shared units, media engines) is a fact of the model, and a layout is legal exactly when no
two of its slots do. So all that matters of a GPU is two sets: `open`, the slots that nothing fixed
on it excludes, and `idle`, its instances that may be reused or destroyed.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from solver.model.geometry import GpuModel, Placement, legal, placements

Bits = NDArray[np.int64]
INFEASIBLE = 255
MOST_SLOTS = 62


class Layouts:
    """The slots of a model, their exclusions and every legal layout. Made once per model: `layouts_of(model)`.

    slots      placements in table order
    excludes   excludes[i]: slots that may not stand beside slot i, i itself among them
    profiles   names in table order
    sets       every legal layout, those of one multiset together
    multisets  (M, P) instances of each profile; the empty one first
    first      first[m]: where the layouts of multiset m begin in `sets`
    """

    def __init__(self, model: GpuModel) -> None:
        self.slots = placements(model)[:MOST_SLOTS]
        self.index = {slot: i for i, slot in enumerate(self.slots)}
        self.profiles = tuple(dict.fromkeys(slot.profile for slot in self.slots))
        self.units = tuple(_units(model, slot) for slot in self.slots)
        self.excludes, found = _legal_sets(model, self.slots)
        self.all = (1 << len(self.slots)) - 1
        self._arrange(np.array(found, dtype=np.int64))

    def _arrange(self, found: Bits) -> None:
        member = self.members(found)
        profile_of = np.array([self.profiles.index(slot.profile) for slot in self.slots], dtype=np.int64)
        counts = member.astype(np.int64) @ np.eye(len(self.profiles), dtype=np.int64)[profile_of]
        self.multisets, which = np.unique(counts, axis=0, return_inverse=True)
        order = np.argsort(which.ravel(), kind="stable")
        self.sets, self._multiset_of, self._size = found[order], which.ravel()[order], member[order].sum(axis=1)
        self.first = np.searchsorted(self._multiset_of, np.arange(len(self.multisets) + 1))
        excluded = np.where(member[order], np.array(self.excludes, dtype=np.int64), 0)
        self._shadow = np.bitwise_or.reduce(excluded, axis=1) & ~self.sets

    def members(self, sets: Bits) -> NDArray[np.bool_]:
        """(n, slots): which slots are in each set."""
        return (sets[:, None] >> np.arange(len(self.slots)) & 1).astype(bool)

    def touching(self, mask: int) -> int:
        """The slots that use a unit of the mask: what an instance of unknown profile excludes."""
        return sum(1 << i for i, units in enumerate(self.units) if units & mask)

    def costs(self, open_: Bits, idle: Bits, profiles: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """(n, M): the fewest creates and destroys that give each GPU each multiset; INFEASIBLE where none can.

        Multisets with a profile that is not in `profiles` count as infeasible.
        """
        wanted = ~(self.multisets[:, ~profiles] > 0).any(axis=1)
        rows = wanted[self._multiset_of]
        sets, which = self.sets[rows], self._multiset_of[rows]
        inside = self.members(sets).astype(np.float32)
        gain = self.members(self._shadow[rows]).astype(np.float32) - inside
        state = np.concatenate([self.members(idle), ~self.members(open_)], axis=1).astype(np.float32)
        work = np.concatenate([gain, inside * INFEASIBLE], axis=1) @ state.T + self._size[rows, None].astype(np.float32)
        begins = np.flatnonzero(np.diff(which, prepend=-1))
        best = np.full((len(self.multisets), len(open_)), INFEASIBLE, dtype=np.uint8)
        best[which[begins]] = np.minimum(np.minimum.reduceat(work, begins, axis=0), INFEASIBLE).astype(np.uint8)
        return np.ascontiguousarray(best.T)

    def cheapest(self, open_: Bits, idle: Bits, multiset: Bits) -> Bits:
        """For each GPU the layout of its multiset that takes the fewest operations, then leaves the most slots open."""
        size = self.first[multiset + 1] - self.first[multiset]
        begin = np.cumsum(size) - size
        layout = np.arange(int(size.sum())) + np.repeat(self.first[multiset] - begin, size)
        sets, shadow = self.sets[layout], self._shadow[layout]
        opens, idles = np.repeat(open_, size), np.repeat(idle, size)
        work = np.bitwise_count(sets & ~idles).astype(np.int64) + np.bitwise_count(idles & shadow)
        room = np.bitwise_count(opens & ~shadow)
        illegal = (sets & ~opens) != 0
        rank = (work + 1) * 64 - room + illegal * 10_000
        best = np.minimum.reduceat(rank * len(self.sets) + layout, begin)
        chosen: Bits = self.sets[best % len(self.sets)]
        return chosen


@cache
def layouts_of(model: GpuModel) -> Layouts:
    return Layouts(model)


def _units(model: GpuModel, slot: Placement) -> int:
    profile = model.profile(slot.profile)
    return profile.mask(slot.start) if profile else 0


def _legal_sets(model: GpuModel, slots: tuple[Placement, ...]) -> tuple[tuple[int, ...], list[int]]:
    """Exclusions and all sets without one. A driver whose rules do not come down to pairs gets stricter ones."""
    excludes = [1 << i for i in range(len(slots))]
    for i, j in combinations(range(len(slots)), 2):
        if not legal(model, (slots[i], slots[j])):
            excludes[i] |= 1 << j
            excludes[j] |= 1 << i
    while True:
        found = _independent(excludes)
        worst = next((s for s in found if not _within_limits(model, slots, s)), None)
        if worst is None:
            return tuple(excludes), found
        *_, i, j = (k for k in range(len(slots)) if worst >> k & 1)
        excludes[i] |= 1 << j
        excludes[j] |= 1 << i


def _independent(excludes: list[int]) -> list[int]:
    found: list[int] = []

    def extend(chosen: int, free: int) -> None:
        found.append(chosen)
        while free:
            slot = free & -free
            free ^= slot
            extend(chosen | slot, free & ~excludes[slot.bit_length() - 1])

    extend(0, (1 << len(excludes)) - 1)
    return found


def _within_limits(model: GpuModel, slots: tuple[Placement, ...], chosen: int) -> bool:
    return legal(model, [slot for i, slot in enumerate(slots) if chosen >> i & 1])
