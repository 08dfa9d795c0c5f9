"""A snapshot's GPUs as columns: what is open, idle and used on each, read in one pass.

For a GPU in MIG mode two sets of slots say it all (layouts.py): `open`, and `idle`. For one without
MIG it is what is used, in millionths and MiB. What a claim holds is laid over what nodes report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from solver.batch.columns.arrays import Floats, Ints
from solver.batch.columns.held_columns import Holdings
from solver.gpu_tables.layouts import Layouts, layouts_of
from solver.model.cluster import Backing, Gpu, InstanceState
from solver.model.demand import DeviceShare
from solver.model.geometry import GpuModel, Placement, unit_mask
from solver.model.occupation import footprint, foreign_portion, plain_holders
from solver.model.snapshot import Snapshot
from solver.quota.pools import NOT_OURS

Look = tuple[str, int, int, InstanceState]
UNUSABLE = -1
SLOTS = 64
"""Bits of a set of slots."""
ALL = -1
"""The set of all slots, of any model."""


@dataclass(frozen=True, slots=True)
class GpuKind:
    """GPUs that differ in nothing but what is on them. name: of the model; model: None where it is not known."""

    name: str
    model: GpuModel | None
    memory_mib: int
    mig: bool


class _Reader:
    """How instances of one kind of GPU turn into slot sets."""

    def __init__(self, number: int, kind: GpuKind) -> None:
        self.number = number
        self.model = kind.model
        self.table: Layouts | None = layouts_of(kind.model) if kind.mig and kind.model else None
        self.all = self.table.all if self.table else 0

    def effect(self, look: Look) -> tuple[int, int, float]:
        """What such an instance leaves open, the idle slot it is, and the part of the GPU that is not ours with it."""
        profile, start, size, state = look
        slot = self.table.index.get(Placement(profile, start)) if self.table else None
        if self.table is None or slot is None:
            return self._unknown(unit_mask(start, size)), 0, self._part(profile) if state in NOT_OURS else 0.0
        if state is InstanceState.IDLE:
            return ALL, 1 << slot, 0.0
        return ~self.table.excludes[slot], 0, self._part(profile) if state in NOT_OURS else 0.0

    def _unknown(self, units: int) -> int:
        """What an instance that the model's table does not list leaves open."""
        return ~self.table.touching(units) if self.table else 0

    def _part(self, profile: str) -> float:
        found = self.model.profile(profile) if self.model else None
        return found.slices / self.model.slices if found and self.model and self.model.slices else 0.0


class GpuColumns:
    """Columns over all GPUs of the snapshot, in its order: kind (UNUSABLE where nothing may be placed), node and state.

    others: rows of instances and processes of others, and the part of their GPU that each takes
    """

    others: tuple[Ints, Floats]

    def __init__(self, snapshot: Snapshot, holdings: Holdings) -> None:
        self.gpus = snapshot.gpus
        self.nodes = snapshot.nodes
        self.kinds: list[GpuKind] = []
        self._readers: dict[tuple[str, bool, int], _Reader] = {}
        self._rows: dict[str, int] = {}
        for holding in holdings.unreported(self._read(snapshot)):
            self.occupy(holding.request.claim, holding.grant.devices)

    def _read(self, snapshot: Snapshot) -> set[str | None]:
        """Fill the columns from what nodes report. The claims they report."""
        places = {node.name: i for i, node in enumerate(snapshot.nodes)}
        kinds: defaultdict[tuple[str, bool, int], int] = defaultdict(count().__next__)
        looks: defaultdict[Look, int] = defaultdict(count().__next__)
        busy, claims = InstanceState.BUSY, list[str | None]()
        kind, node, fenced, shared, many, look = (list[int]() for _ in range(6))
        for row, gpu in enumerate(snapshot.gpus):
            kind.append(kinds[gpu.model, gpu.mig, gpu.memory_mib])
            node.append(places.get(gpu.node, UNUSABLE))
            many.append(len(gpu.instances))
            for instance in gpu.instances:
                look.append(looks[instance.profile, instance.start, instance.size, instance.state])
                if instance.state is busy:
                    claims.append(instance.claim)
            if gpu.parts or gpu.held_by or gpu.foreign_mib:
                shared.append(row)
            if gpu.fenced:
                fenced.append(row)
        readers = [self._reader(key, snapshot) for key in kinds]
        reader = np.array(kind, dtype=np.int64)
        self.node = np.array(node, dtype=np.int64)
        self.kind = np.array([reader.number for reader in readers], dtype=np.int64)[reader]
        self.kind[fenced] = UNUSABLE
        self.kind[~np.array([*(node.ready for node in snapshot.nodes), False])[self.node]] = UNUSABLE
        self._fill(readers, reader, list(looks), np.array(look, dtype=np.int64), np.array(many, dtype=np.int64))
        self._count_foreign(shared)
        return {*claims, *self._share(shared)}

    def _count_foreign(self, rows: Sequence[int]) -> None:
        """Add processes of no claim to `others`."""
        found = [(row, foreign_portion(self.gpus[row])) for row in rows if self.gpus[row].foreign_mib]
        if found:
            where, part = zip(*found, strict=True)
            self.others = (np.append(self.others[0], where), np.append(self.others[1], part))

    def _reader(self, key: tuple[str, bool, int], snapshot: Snapshot) -> _Reader:
        name, mig, memory_mib = key
        kind = GpuKind(name, snapshot.models.get(name), memory_mib, mig)
        known = not mig or kind.model is not None
        reader = self._readers[key] = _Reader(len(self.kinds) if known else UNUSABLE, kind)
        if known:
            self.kinds.append(kind)
        return reader

    def _fill(self, readers: Sequence[_Reader], reader: Ints, looks: Sequence[Look], look: Ints, many: Ints) -> None:
        """What is open and idle. reader, many: (G,) each GPU's reader and instances; look: of all instances in turn."""
        pair = np.repeat(reader * len(looks), many) + look
        leaves, idle = np.full(len(readers) * len(looks), ALL), np.zeros(len(readers) * len(looks), dtype=np.int64)
        part = np.zeros(len(leaves))
        for code in np.flatnonzero(np.bincount(pair)).tolist():
            leaves[code], idle[code], part[code] = readers[code // len(looks)].effect(looks[code % len(looks)])
        self.open = np.array([reader.all for reader in readers], dtype=np.int64)[reader]
        self.idle = np.zeros(len(reader), dtype=np.int64)
        rows = np.flatnonzero(many)
        begin = (np.cumsum(many) - many)[rows]
        self.open[rows] &= np.bitwise_and.reduceat(leaves[pair], begin)
        self.idle[rows] = np.bitwise_or.reduceat(idle[pair], begin)
        others = np.flatnonzero(part[pair])
        self.others = (np.repeat(np.arange(len(many)), many)[others], part[pair[others]])

    def _share(self, rows: Sequence[int]) -> list[str | None]:
        """What is used of GPUs without MIG. Whose claims use it."""
        used, claims = list[tuple[int, int, int]](), list[str | None]()
        for row in rows:
            for claim, taken in plain_holders(self.gpus[row]):
                claims.append(claim)
                used.append((row, taken.millionths, taken.memory_mib))
        where, share, mib = np.array(used, dtype=np.int64).reshape(-1, 3).T
        self.millionths, self.memory_mib = (np.zeros(len(self.gpus), dtype=np.int64) for _ in range(2))
        np.add.at(self.millionths, where, share)
        np.add.at(self.memory_mib, where, mib)
        return claims

    def excludes(self) -> Ints:
        """(kinds, SLOTS): what each slot of each kind excludes."""
        found = np.zeros((len(self.kinds), SLOTS), dtype=np.int64)
        for number, kind in enumerate(self.kinds):
            if kind.mig and kind.model is not None:
                excluded = layouts_of(kind.model).excludes
                found[number, : len(excluded)] = excluded
        return found

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
                taken = footprint(share, gpu)
                self.millionths[row] += taken.millionths
                self.memory_mib[row] += taken.memory_mib

    def _fix(self, row: int, gpu: Gpu, share: DeviceShare) -> None:
        reader = self._readers[gpu.model, gpu.mig, gpu.memory_mib]
        if reader.table is None:
            return
        slot = reader.table.index.get(Placement(share.profile or "", share.start or 0))
        excluded = reader.table.excludes[slot] if slot is not None else reader.table.touching(share.mask)
        self.open[row] &= ~excluded
        self.idle[row] &= ~excluded
