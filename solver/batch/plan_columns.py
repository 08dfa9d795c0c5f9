"""A batch's plan without its objects: steps and outcomes are made when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from solver.batch.columns.arrays import Ints, in_groups
from solver.batch.columns.gpu_columns import GpuColumns
from solver.batch.columns.request_columns import Requests
from solver.batch.formulate import Formulation
from solver.batch.share_assignment import NO_SLOT, Shares, Work
from solver.gpu_tables.layouts import layouts_of
from solver.gpu_tables.tables import rounding
from solver.model.demand import DeviceShare, Grant
from solver.model.plan import Assign, Create, Destroy, Outcome, Placed, Step

KINDS = 3
DESTROY, CREATE, ASSIGN = range(KINDS)


class Steps(Sequence[Step]):
    """GPU by GPU: what is destroyed, what is created, who is assigned.

    row, slot, kind  (steps,) each; share: (steps,) which share an assignment is about, without meaning elsewhere
    """

    def __init__(
        self, gpus: GpuColumns, requests: Requests, formulation: Formulation, shares: Shares, work: Work
    ) -> None:
        self._gpus, self._requests, self._sites, self._shares = gpus, requests, formulation.sites, shares
        rows = [work.destroy_row, work.create_row, shares.row]
        key = np.concatenate([row * KINDS + kind for kind, row in enumerate(rows)])
        slot = np.concatenate([work.destroy_slot, work.create_slot, shares.slot])
        order = in_groups(key, len(gpus.gpus) * KINDS)
        self.row, self.kind = np.divmod(key[order], KINDS)
        self.slot, self.share = slot[order], order - (len(key) - len(shares.row))

    def __len__(self) -> int:
        return len(self.row)

    @overload
    def __getitem__(self, position: int) -> Step: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Step]: ...
    def __getitem__(self, position: int | slice) -> Step | Sequence[Step]:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        row, kind = int(self.row[position]), int(self.kind[position])
        if kind == ASSIGN:
            share = int(self.share[position])
            return Assign(self.claim(share), self.grant(share))
        model = self._gpus.kinds[int(self._gpus.kind[row])].model
        assert model is not None
        place = layouts_of(model).slots[int(self.slot[position])]
        made = Destroy if kind == DESTROY else Create
        return made(self._gpus.gpus[row].uuid, place.profile, place.start)

    @property
    def served(self) -> Ints:
        """(shares,) positions of the requests that are served."""
        return self._shares.request

    def claim(self, share: int) -> str:
        """Whose share it is."""
        return self._requests.pending[int(self._shares.request[share])].claim

    def grant(self, share: int) -> Grant:
        gpu = self._gpus.gpus[int(self._shares.row[share])]
        return Grant(gpu.node, (self._device(share),))

    def _device(self, share: int) -> DeviceShare:
        gpu = self._gpus.gpus[int(self._shares.row[share])]
        site = self._sites[int(self._shares.site[share])]
        slot = int(self._shares.slot[share])
        start = None
        if slot != NO_SLOT and site.kind.model is not None:
            start = layouts_of(site.kind.model).slots[slot].start
        return site.shares[int(self._shares.item[share])].share(gpu, start)

    def outcome(self, share: int) -> Placed:
        grant = self.grant(share)
        demand = self._requests.pending[int(self._shares.request[share])].demand
        return Placed(grant, (), rounding(demand, grant.devices))


class After(Mapping[int, tuple[int, ...]]):
    """A new instance waits for those in its way to be destroyed, its holder for it to be created."""

    def __init__(self, steps: Steps, gpus: GpuColumns) -> None:
        self._steps, self._gpus = steps, gpus
        self._waits = self._waiting()

    def _waiting(self) -> NDArray[np.bool_]:
        """(steps,) whether a step has to wait for any other."""
        steps, gpus = self._steps, self._gpus
        destroys, creates = np.flatnonzero(steps.kind == DESTROY), np.flatnonzero(steps.kind == CREATE)
        assigns = np.flatnonzero((steps.kind == ASSIGN) & (steps.slot != NO_SLOT))
        destroyed, created = self._slots_of(destroys), self._slots_of(creates)
        waits = np.zeros(len(steps), dtype=bool)
        row, slot = steps.row[creates], steps.slot[creates]
        waits[creates] = destroyed[row] & gpus.excludes()[gpus.kind[row], slot] != 0
        waits[assigns] = created[steps.row[assigns]] >> steps.slot[assigns] & 1
        return waits

    def _slots_of(self, positions: Ints) -> Ints:
        """(G,) the set of slots that these steps are about on each GPU. No two of them are about the same."""
        slots = np.zeros(len(self._gpus.gpus), dtype=np.int64)
        np.add.at(slots, self._steps.row[positions], np.int64(1) << self._steps.slot[positions])
        return slots

    def __len__(self) -> int:
        return int(self._waits.sum())

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self._waits).tolist())

    def __getitem__(self, position: int) -> tuple[int, ...]:
        if not 0 <= position < len(self._waits) or not self._waits[position]:
            raise KeyError(position)
        steps = self._steps
        row = int(steps.row[position])
        earlier = range(int(np.searchsorted(steps.row, row)), position)
        if steps.kind[position] == ASSIGN:
            return tuple(i for i in earlier if steps.kind[i] == CREATE and steps.slot[i] == steps.slot[position])
        model = self._gpus.kinds[int(self._gpus.kind[row])].model
        assert model is not None
        excluded = layouts_of(model).excludes[int(steps.slot[position])]
        return tuple(i for i in earlier if steps.kind[i] == DESTROY and excluded >> int(steps.slot[i]) & 1)


class Outcomes(Mapping[str, Outcome]):
    """The outcome of every pending request; `refuse` tells why one has no place."""

    def __init__(self, requests: Requests, steps: Steps | None, refuse: Callable[[int], Outcome]) -> None:
        self._requests, self._steps, self._refuse = requests, steps, refuse
        self._share = np.full(len(requests.pending), NO_SLOT, dtype=np.int64)
        if steps is not None:
            self._share[steps.served] = np.arange(len(steps.served))

    def placed(self) -> Iterator[tuple[str, Placed]]:
        """Those that have a place."""
        steps = self._steps
        return ((steps.claim(i), steps.outcome(i)) for i in range(len(steps.served))) if steps else iter(())

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {request.claim: i for i, request in enumerate(self._requests.pending)}

    def __len__(self) -> int:
        return len(self._requests.pending)

    def __iter__(self) -> Iterator[str]:
        return (request.claim for request in self._requests.pending)

    def __getitem__(self, claim: str) -> Outcome:
        position = self._positions[claim]
        share = int(self._share[position])
        if share == NO_SLOT or self._steps is None:
            return self._refuse(position)
        return self._steps.outcome(share)
