"""What one decision costs on a large, busy cluster: `python -m tests.bench.online`.

Seeded arrivals and departures on nodes of eight A100-40GB, at the load where requests begin to be
refused. A decision is timed from the request to the index being up to date again; a departure on its
own. Every decision is carried out on a world of its own and judged there (not timed).
"""

from __future__ import annotations

import gc
import heapq
import statistics
import time
from collections.abc import Iterator
from random import Random
from types import MappingProxyType

from solver.model.catalog import find
from solver.model.cluster import Gpu, Node
from solver.model.demand import Demand, Fraction, Memory, MigProfile, Request
from solver.model.snapshot import ProjectQueue, Quota, Snapshot
from solver.online import Online
from tests.world import World

MODEL = find("a100-40gb")
EACH = 8
DECISIONS = 20_000
ASKS: tuple[tuple[Demand, float], ...] = (
    (MigProfile("1g.5gb"), 1 / 8),
    (MigProfile("2g.10gb"), 2 / 8),
    (Memory(9537), 2 / 8),
    (MigProfile("3g.20gb"), 4 / 8),
    (Fraction(0.5), 4 / 8),
    (MigProfile("4g.20gb"), 4 / 8),
    (MigProfile("7g.40gb"), 1.0),
)


def empty(gpus: int) -> Snapshot:
    names = [f"n{i}" for i in range(gpus // EACH)]
    return Snapshot(
        nodes=tuple(Node(name) for name in names),
        gpus=tuple(
            Gpu(f"{name}-{i}", name, i, MODEL.id, MODEL.memory_mib, mig=True) for name in names for i in range(EACH)
        ),
        models=MappingProxyType({MODEL.id: MODEL}),
        projects=(ProjectQueue("p", Quota(-1.0)),),
    )


def arrivals(gpus: int, rng: Random) -> Iterator[tuple[float, Request, float]]:
    """(when, what, for how long), without end: first enough to fill the GPUs, then as much as they can serve."""
    at_once = gpus / statistics.mean(part for _, part in ASKS)
    now, number = 0.0, 0
    while True:
        now += rng.expovariate(at_once) if number >= at_once else 0.0
        claim = f"c{number}"
        yield now, Request(claim, claim, "p", rng.choice(ASKS)[0], created=now), rng.expovariate(1.0)
        number += 1


class Day:
    """One cluster's arrivals and departures, with the microseconds that each took."""

    def __init__(self, gpus: int, seed: int) -> None:
        snapshot = empty(gpus)
        self.online, self.world = Online(snapshot), World(snapshot)
        self.decisions: list[float] = []
        self.departures: list[float] = []
        self.refused = 0
        self._ends: list[tuple[float, str]] = []
        self._arrivals = arrivals(gpus, Random(seed))

    def run(self, decisions: int) -> None:
        for _ in range(decisions):
            now, request, lasts = next(self._arrivals)
            while self._ends and self._ends[0][0] <= now:
                self._depart(heapq.heappop(self._ends)[1])
            if self._arrive(request, now):
                heapq.heappush(self._ends, (now + lasts, request.claim))

    def _arrive(self, request: Request, now: float) -> bool:
        started = time.perf_counter_ns()
        decision = self.online.decide(request)
        if decision:
            self.online.apply(decision, now)
        self.decisions.append((time.perf_counter_ns() - started) / 1000)
        if decision is None:
            self.refused += 1
            return False
        self.world.carry_out(decision)
        return True

    def _depart(self, claim: str) -> None:
        started = time.perf_counter_ns()
        self.online.release(claim)
        self.departures.append((time.perf_counter_ns() - started) / 1000)
        self.world.release(claim)


def line(gpus: int) -> str:
    """What fills the cluster is not counted."""
    day = Day(gpus, seed=1)
    day.run(3 * gpus)
    day.decisions.clear()
    day.departures.clear()
    day.refused = 0
    gc.collect()
    gc.freeze()
    day.run(DECISIONS)
    p50, p99 = (statistics.quantiles(day.decisions, n=100)[i] for i in (49, 98))
    gone = statistics.median(day.departures)
    return (
        f"BENCH online gpus={gpus} decision_us p50={p50:.1f} p99={p99:.1f} "
        f"departure_us p50={gone:.1f} decisions={DECISIONS} refused={day.refused}"
    )


def main() -> None:
    for gpus in (1_000, 10_000, 100_000):
        print(line(gpus), flush=True)


if __name__ == "__main__":
    main()
