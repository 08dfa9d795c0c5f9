"""From counts to names: which GPU gets which layout, and which request which share of it.

All of it is sorting: GPUs of a state stand in line for its patterns, shares of an item in line for
the kinds of demand that use it (instances that exist first, then in the order of nodes), requests of
a kind in their serving order for its shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.batch.columns.arrays import Ints, begins, in_groups
from solver.batch.columns.gpu_columns import SLOTS, GpuColumns
from solver.batch.columns.request_columns import Requests
from solver.batch.formulate import Formulation, Site
from solver.batch.problem import MigGroup, Packing, Solution
from solver.gpu_tables.layouts import layouts_of

NO_SLOT = -1


@dataclass(frozen=True, slots=True)
class Shares:
    """Who gets what, each (A,): position of the request, row of the GPU, slot there, site and item of the share."""

    request: Ints
    row: Ints
    slot: Ints
    site: Ints
    item: Ints


def assign_shares(formulation: Formulation, answer: Solution, gpus: GpuColumns, requests: Requests) -> Shares:
    """Shares for as many requests of each kind as the answer serves."""
    sites = list(zip(formulation.sites, formulation.problem.groups, answer.packings, strict=True))
    parts = [_offered(number, *entry, gpus) for number, entry in enumerate(sites)]
    row, slot, site, item, fresh = (np.concatenate(column) for column in zip(*parts, strict=True))
    options = formulation.problem.options
    width = 1 + int(max(options.item.max(initial=0), item.max(initial=0)))
    key = site * width + item
    offered = np.argsort(((key * 2 + fresh) * len(gpus.gpus) + row) * SLOTS + slot)
    offered_key = key[offered]
    used = np.flatnonzero(answer.flow)
    flows = used[np.argsort((options.group * width + options.item)[used], kind="stable")]
    flow_key = (options.group * width + options.item)[flows]
    amount = answer.flow[flows]
    before = np.cumsum(amount) - amount
    begin = np.searchsorted(offered_key, flow_key) + before - before[np.searchsorted(flow_key, flow_key)]
    taken = offered[np.repeat(begin - before, amount) + np.arange(int(amount.sum()))]
    site, item, cell = (np.repeat(column[flows], amount) for column in (options.group, options.item, options.kind))
    chosen = _in_line(formulation.cell, requests.order, cell, len(formulation.problem.demand.count))
    return Shares(chosen, row[taken], slot[taken], site, item)


def _in_line(cell_of: Ints, order: Ints, cell: Ints, cells: int) -> Ints:
    """(A,) for every share of a cell the next request of that cell."""
    wanted = cell_of[order]
    waiting = np.flatnonzero(wanted >= 0)
    line = order[waiting][in_groups(wanted[waiting], cells)]
    served = in_groups(cell, cells)
    ahead = begins(wanted[waiting], cells) - begins(cell, cells)
    chosen = np.empty(len(cell), dtype=np.int64)
    chosen[served] = line[ahead[cell[served]] + np.arange(len(cell))]
    return chosen


def _offered(
    number: int, site: Site, group: object, packing: Packing, gpus: GpuColumns
) -> tuple[Ints, Ints, Ints, Ints, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Every share that a site's packing gives: row, slot, site, item, and whether it must be created."""
    rows, which = _lined_up(site, packing)
    if isinstance(group, MigGroup):
        table = layouts_of(group.model)
        gpu, slot = _each(packing.pattern[which])
        item_of = np.array([site.items.get(place.profile, -1) for place in table.slots], dtype=np.int64)
        fresh = gpus.idle[rows[gpu]] >> slot & 1 == 0
        return rows[gpu], slot, np.full(len(gpu), number), item_of[slot], fresh
    gpu, item = np.nonzero(packing.pattern[which])
    times = packing.pattern[which][gpu, item]
    gpu, item = np.repeat(gpu, times), np.repeat(item, times)
    return rows[gpu], np.full(len(gpu), NO_SLOT), np.full(len(gpu), number), item, np.zeros(len(gpu), dtype=bool)


def _lined_up(site: Site, packing: Packing) -> tuple[Ints, Ints]:
    """The rows that take a pattern, and the position of that pattern in the packing."""
    order = np.argsort(packing.state, kind="stable")
    count, state = packing.count[order], packing.state[order]
    before = np.cumsum(count) - count
    begin = np.searchsorted(site.state, state) + before - before[np.searchsorted(state, state)]
    rows = site.rows[np.repeat(begin - before, count) + np.arange(int(count.sum()))]
    return rows, np.repeat(order, count)


@dataclass(frozen=True, slots=True)
class Work:
    """What must happen to MIG GPUs, each (W,): row and slot of instances to destroy, and to create."""

    destroy_row: Ints
    destroy_slot: Ints
    create_row: Ints
    create_slot: Ints


def work_of(shares: Shares, gpus: GpuColumns) -> Work:
    """Idle instances that exclude a new one go; a share whose instance exists needs nothing."""
    mine = np.flatnonzero(shares.slot != NO_SLOT)
    mine = mine[in_groups(shares.row[mine] * SLOTS + shares.slot[mine], len(gpus.gpus) * SLOTS)]
    row, slot = shares.row[mine], shares.slot[mine]
    begin = np.flatnonzero(np.diff(row, prepend=-1))
    taken = np.bitwise_or.reduceat(np.int64(1) << slot, begin)
    shadow = np.bitwise_or.reduceat(gpus.excludes()[gpus.kind[row], slot], begin)
    destroyed, destroyed_slot = _each(gpus.idle[row[begin]] & shadow & ~taken)
    fresh = gpus.idle[row] >> slot & 1 == 0
    return Work(row[begin[destroyed]], destroyed_slot, row[fresh], slot[fresh])


def _each(sets: Ints) -> tuple[Ints, Ints]:
    """For every slot in a set the position of the set, and the slot."""
    bits = np.unpackbits(sets.astype("<i8").view(np.uint8), bitorder="little")
    return np.divmod(np.flatnonzero(bits.view(np.bool_)), SLOTS)
