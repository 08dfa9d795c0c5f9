"""What a GPU offers, by the state it is in: worked out once for all GPUs in that state, then looked up.

A GPU in MIG mode is in a state: the units that are taken, the profiles that took them (for media
engines) and the idle instances. A state's offer for a profile is its best start: an idle instance of
that profile if there is one, else the start that closes the least room, then the fewest operations.

Between GPUs room counts first, and an operation as much as OPERATION units of it: idle instances at any
price would keep the best slots from others. (Simulated on 100 A100-40GB at full load: that accepts 0.1 to
0.3 points of compute less. Room alone accepts no more than this, and creates and destroys 20 % more.)
Each holder that a GPU has counts HOLDER units in its favour: a GPU with many takes long to be empty
again, so filling it leaves those with few to large requests (0.1 to 0.5 points of compute more).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from solver.gpu_tables.tables import Slot, Table
from solver.model.geometry import Placement

Cost = tuple[float, int]
OPERATION = 2
"""Creating or destroying an instance weighs as much as closing so many units of room."""
HOLDER = 0.5
"""A holder on the GPU weighs as much as so many units of room left open."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A start for a profile. lost: the room that it closes; holders: how many the GPU has."""

    slot: Slot
    destroys: tuple[Placement, ...]
    creates: bool
    lost: int
    holders: int

    @property
    def operations(self) -> int:
        return len(self.destroys) + self.creates

    @property
    def cost(self) -> Cost:
        """Compares the offers of different states."""
        return self.lost + OPERATION * self.operations - HOLDER * self.holders, self.operations


class GpuState:
    """One state of one model's GPUs. Made once: `state_of`."""

    __slots__ = ("_offers", "full", "idle", "mask", "names", "table", "used")

    def __init__(self, table: Table, mask: int, names: tuple[str, ...], idle: tuple[Placement, ...]) -> None:
        self.table, self.mask, self.names, self.idle = table, mask, names, idle
        self.used = mask.bit_count() / table.model.units
        self.full = all(slot.mask & mask for slot in table.slots)
        self._offers: dict[str, Offer | None] = {}

    def offer(self, profile: str) -> Offer | None:
        """The best start for an instance of the profile; None where it has none."""
        if profile not in self._offers:
            self._offers[profile] = min(self._starts(profile), key=_on_one_gpu, default=None)
        return self._offers[profile]

    def _starts(self, profile: str) -> Iterable[Offer]:
        room = self.table.room(self.mask)
        for slot in self.table.by_profile.get(profile, ()):
            if slot.mask & self.mask:
                continue
            reused = Placement(profile, slot.start) in self.idle
            destroys = () if reused else self.table.in_the_way(slot, self.mask, self.names, self.idle)
            if destroys is not None:
                lost = room - self.table.room(self.mask | slot.mask)
                yield Offer(slot, destroys, not reused, lost, len(self.names))


def _on_one_gpu(offer: Offer) -> tuple[bool, int, int]:
    """Compares the starts of one state."""
    return offer.creates, offer.lost, offer.operations


@lru_cache(maxsize=65536)
def state_of(table: Table, mask: int, names: tuple[str, ...], idle: tuple[Placement, ...]) -> GpuState:
    """Names and idle: sorted."""
    return GpuState(table, mask, names, idle)
