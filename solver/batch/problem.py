"""The batch as counts: the problem that a BatchSolver is given, and its solution.

GPUs of one node class and kind form a group; those of a group that are in the same state are one
row with a count. An item is a share a group can give: an instance of a profile, or a slice of a
GPU without MIG. Requests that differ in nothing but name and age are one kind of demand; an option
says that a kind can be served by an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solver.batch.columns.arrays import Floats, Ints
from solver.model.geometry import GpuModel


@dataclass(frozen=True, slots=True)
class MigGroup:
    """GPUs in MIG mode. Items are the profiles in `profiles`.

    open, idle  (S,) bit sets over the model's slots (layouts.py); count: (S,) GPUs in that state
    """

    model: GpuModel
    profiles: tuple[str, ...]
    open: Ints
    idle: Ints
    count: Ints


@dataclass(frozen=True, slots=True)
class PlainGroup:
    """GPUs without MIG. Items are slices: (millionths of the GPU, MiB), a whole GPU being all of both.

    millionths, memory_mib  (S,) what is free; count: (S,) GPUs in that state
    """

    items: tuple[tuple[int, int], ...]
    millionths: Ints
    memory_mib: Ints
    count: Ints


Group = MigGroup | PlainGroup


@dataclass(frozen=True, slots=True)
class Demand:
    """Kinds of requests, each (K,): weight of one, how many, and tier (0 is served first)."""

    weight: Floats
    count: Ints
    tier: Ints


@dataclass(frozen=True, slots=True)
class Options:
    """What can serve what, each (O,): kind, group, item within the group, rank (0 is liked best)."""

    kind: Ints
    group: Ints
    item: Ints
    rank: Ints


@dataclass(frozen=True, slots=True)
class Caps:
    """Quotas and limits: what is served by the options of a row, times their parts, stays within its limit.

    row, option, part  (X,) each: GPUs that one request served so counts for in that row; limit: (L,)
    """

    row: Ints
    option: Ints
    part: Floats
    limit: Floats


NO_CAPS = Caps(*(np.empty(0, dtype=np.int64),) * 2, *(np.empty(0),) * 2)


@dataclass(frozen=True, slots=True)
class Problem:
    """All that the optimum depends on. seconds: how long to look for better answers."""

    groups: Sequence[Group]
    demand: Demand
    options: Options
    seconds: float = 1.0
    caps: Caps = NO_CAPS


@dataclass(frozen=True, slots=True)
class Packing:
    """What a group's GPUs become, each (X,): so many GPUs in that state take that pattern.

    pattern  (X,) bit sets of slots for a MIG group; (X, items) counts for one without
    """

    state: Ints
    pattern: Ints
    count: Ints


@dataclass(frozen=True, slots=True)
class Solution:
    """packings: per group. flow: (O,) requests served by each option; never more than the packings give.

    weight_bound      admitted weight that no plan exceeds which serves earlier tiers as well
    operations_bound  creates and destroys that every plan of this weight needs
    """

    packings: Sequence[Packing]
    flow: Ints
    weight: float
    weight_bound: float
    operations_bound: float
    note: str = ""
