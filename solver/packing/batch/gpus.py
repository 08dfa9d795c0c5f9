"""A snapshot's GPUs as columns: what is open, idle and used on each, read in one pass.

For a GPU in MIG mode two sets of slots say it all (layouts.py): `open`, and `idle`. For one without
MIG it is what is used, in millionths and MiB. What a claim holds is laid over what nodes report.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.model.cluster import Backing, Gpu, Instance, InstanceState
from solver.model.demand import DeviceShare
from solver.model.geometry import GpuModel, Placement
from solver.model.snapshot import Snapshot
from solver.packing.layouts import Layouts, layouts_of
from solver.packing.tables import MILLIONTHS, millionths

Ints = NDArray[np.int64]
UNUSABLE = -1


@dataclass(frozen=True, slots=True)
class GpuKind:
    """GPUs that differ in nothing but what is on them."""

    model: GpuModel | None
    memory_mib: int
    mig: bool


class _Reader:
    """How instances of one kind of GPU turn into slot sets."""

    def __init__(self, number: int, kind: GpuKind) -> None:
        self.number = number
        self.table: Layouts | None = layouts_of(kind.model) if kind.mig and kind.model else None
        slots = self.table.slots if self.table else ()
        self.all = self.table.all if self.table else 0
        self.idle = {(slot.profile, slot.start): 1 << i for i, slot in enumerate(slots)}
        excludes = self.table.excludes if self.table else ()
        self.leaves = {(slot.profile, slot.start): ~excludes[i] for i, slot in enumerate(slots)}

    def unknown(self, instance: Instance) -> int:
        """What an instance that the model's table does not list leaves open."""
        return ~self.table.touching(instance.mask) if self.table else 0


class Gpus:
    """Columns over all GPUs of the snapshot, in its order: kind (UNUSABLE where nothing may be placed), node and state.

    strange: (row, profile) of instances that are not ours
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.gpus = snapshot.gpus
        self.nodes = snapshot.nodes
        self.kinds: list[GpuKind] = []
        self._readers: dict[tuple[str, bool, int], _Reader] = {}
        self._seen: set[str | None] = set()
        self._rows: dict[str, int] = {}
        self._read(snapshot)
        self._lay_over(snapshot)

    def _read(self, snapshot: Snapshot) -> None:
        places = {node.name: i for i, node in enumerate(snapshot.nodes)}
        usable = {node.name for node in snapshot.nodes if node.ready}
        kind, node, open_, idle = [], [], [], []
        strange: list[tuple[int, str]] = []
        used: list[tuple[int, int, int]] = []
        readers, seen, busy, vacant = self._readers, self._seen, InstanceState.BUSY, InstanceState.IDLE
        for row, gpu in enumerate(snapshot.gpus):
            reader = readers.get((gpu.model, gpu.mig, gpu.memory_mib)) or self._reader(gpu, snapshot)
            left, waiting = reader.all, 0
            leaves = reader.leaves
            for instance in gpu.instances:
                key = (instance.profile, instance.start)
                if key not in leaves:
                    left &= reader.unknown(instance)
                elif instance.state is vacant:
                    waiting |= reader.idle[key]
                else:
                    left &= leaves[key]
                    if instance.state is busy:
                        seen.add(instance.claim)
                    else:
                        strange.append((row, instance.profile))
            if gpu.parts or gpu.held_by:
                used.append((row, *self._taken(gpu)))
            kind.append(UNUSABLE if gpu.fenced or gpu.node not in usable else reader.number)
            node.append(places.get(gpu.node, UNUSABLE))
            open_.append(left)
            idle.append(waiting)
        self.kind, self.node = np.array(kind, dtype=np.int64), np.array(node, dtype=np.int64)
        self.open, self.idle = np.array(open_, dtype=np.int64), np.array(idle, dtype=np.int64)
        self.strange = strange
        self.millionths, self.memory_mib = np.zeros(len(kind), dtype=np.int64), np.zeros(len(kind), dtype=np.int64)
        for row, share, mib in used:
            self.millionths[row], self.memory_mib[row] = share, mib

    def _reader(self, gpu: Gpu, snapshot: Snapshot) -> _Reader:
        kind = GpuKind(snapshot.models.get(gpu.model), gpu.memory_mib, gpu.mig)
        known = not gpu.mig or kind.model is not None
        reader = _Reader(len(self.kinds) if known else UNUSABLE, kind)
        if known:
            self.kinds.append(kind)
        self._readers[gpu.model, gpu.mig, gpu.memory_mib] = reader
        return reader

    def _taken(self, gpu: Gpu) -> tuple[int, int]:
        if gpu.held_by:
            self._seen.add(gpu.held_by)
            return MILLIONTHS, gpu.memory_mib
        self._seen.update(part.claim for part in gpu.parts)
        return sum(millionths(part.portion) for part in gpu.parts), sum(part.memory_mib for part in gpu.parts)

    def _lay_over(self, snapshot: Snapshot) -> None:
        """Occupy the places of claims that no node reports yet, or reports on some of their GPUs only."""
        seen = self._seen
        for holding in snapshot.held:
            devices = holding.grant.devices
            if len(devices) > 1 or holding.request.claim not in seen:
                self.occupy(holding.request.claim, devices)

    def occupy(self, claim: str, devices: Iterable[DeviceShare]) -> None:
        """Count these shares as taken, unless their GPUs report the claim already."""
        self._rows = self._rows or {gpu.uuid: row for row, gpu in enumerate(self.gpus)}
        for share in devices:
            row = self._rows.get(share.gpu)
            if row is None:
                continue
            gpu = self.gpus[row]
            if share.backing is Backing.MIG:
                self._fix(row, gpu, share)
            elif claim != gpu.held_by and all(part.claim != claim for part in gpu.parts):
                whole = share.backing is Backing.WHOLE
                self.millionths[row] += MILLIONTHS if whole else millionths(share.portion)
                self.memory_mib[row] += gpu.memory_mib if whole else share.memory_mib

    def _fix(self, row: int, gpu: Gpu, share: DeviceShare) -> None:
        reader = self._readers[gpu.model, gpu.mig, gpu.memory_mib]
        if reader.table is None:
            return
        slot = reader.table.index.get(Placement(share.profile or "", share.start or 0))
        units = ((1 << share.size) - 1) << (share.start or 0)
        excluded = reader.table.excludes[slot] if slot is not None else reader.table.touching(units)
        self.open[row] &= ~excluded
        self.idle[row] &= ~excluded
