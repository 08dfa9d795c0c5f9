"""The nodes of a fleet without MIG as arrays of what is free."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from migctl.simulate.baselines.fragments import RequestKind
from migctl.simulate.fleet import SimulatedFleet
from solver.gpu_tables.tables import plain_option
from solver.model.cluster import Gpu
from solver.model.demand import Demand, Fraction, Grant, Request, WholeGpus, parts_of
from solver.model.occupation import MILLIONTHS, millionths

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
ABSENT = -1
UNCOUNTED = 2**62


def kind_of(request: Request) -> RequestKind:
    """The kind that the request is counted as."""
    return RequestKind(request.cpu_milli, request.memory_mib, request.demand.devices, _need(request.demand))


def _need(demand: Demand) -> int:
    if isinstance(demand, WholeGpus):
        return MILLIONTHS
    assert isinstance(demand, Fraction)
    return millionths(demand.portion)


class Nodes:
    """Free are (nodes,) CPU and memory, and (nodes, most GPUs) millionths of each GPU, ABSENT where there is none."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        row = {node.name: number for number, node in enumerate(fleet.nodes)}
        self.names = list(row)
        self._gpus: list[list[Gpu]] = [[] for _ in row]
        for gpu in fleet.gpus:
            self._gpus[row[gpu.node]].append(gpu)
        self.cpu, self.memory = (
            np.array([UNCOUNTED if free is None else free for free in host], dtype=np.int64)
            for host in ([node.cpu_milli for node in fleet.nodes], [node.memory_mib for node in fleet.nodes])
        )
        self.gpu = np.full((len(row), max(map(len, self._gpus))), ABSENT, dtype=np.int64)
        for number, gpus in enumerate(self._gpus):
            self.gpu[number, : len(gpus)] = MILLIONTHS
        self.size = (self.gpu > 0).sum(axis=1)
        self.most = int(self.cpu.max()), int(self.memory.max())
        self._pool = np.array([node.pool for node in fleet.nodes])
        self._held: dict[str, tuple[RequestKind, int, list[int]]] = {}

    def with_room(self, request: Request, kind: RequestKind) -> Flags:
        """(nodes,) Whether the request fits on each node now."""
        room: Flags = ((self.gpu >= kind.need).sum(axis=1) >= kind.devices) & (self.cpu >= kind.cpu)
        room &= self.memory >= kind.memory
        return room & np.isin(self._pool, request.pools) if request.pools else room

    def used(self) -> NDArray[np.float64]:
        """(nodes,) The part of each node's GPUs that is taken."""
        used: NDArray[np.float64] = 1 - np.maximum(self.gpu, 0).sum(axis=1) / (self.size * MILLIONTHS)
        return used

    def take(self, request: Request, kind: RequestKind, row: int, gpus: Iterable[int]) -> Grant:
        """Take the GPUs (columns) of a node (row) for the request."""
        chosen = list(gpus)
        (demand,) = parts_of(request.demand)
        self._held[request.claim] = kind, row, chosen
        self._account(kind, row, chosen, -1)
        shares = []
        for gpu in (self._gpus[row][column] for column in chosen):
            option = plain_option(demand, gpu.memory_mib)
            assert option is not None
            shares.append(option.share(gpu))
        return Grant(self.names[row], tuple(shares))

    def release(self, claim: str) -> int:
        """Free what the claim holds; the row of its node."""
        kind, row, gpus = self._held.pop(claim)
        self._account(kind, row, gpus, 1)
        return row

    def _account(self, kind: RequestKind, row: int, gpus: list[int], sign: int) -> None:
        self.cpu[row] += sign * kind.cpu
        self.memory[row] += sign * kind.memory
        self.gpu[row, gpus] += sign * kind.need
