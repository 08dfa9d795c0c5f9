"""How long it takes to say why something does not fit: `python -m tests.bench.verdict`.

500 nodes of 8 A100-40GB, full of seeded layouts, and requests nothing is free for: the whole decision
from the snapshot to the sentence with its blocking set, one request at a time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from random import Random

from migctl.solver_process.planning import plan
from solver.model.cluster import Gpu, Instance, InstanceState
from solver.model.demand import Demand, Fraction, Holding, Memory, MigProfile, Request
from solver.model.reasons import Unplaced
from solver.model.snapshot import Snapshot
from solver.online import Online
from tests.bench.online import empty

GPUS = 4_000
RUNS = 60
SMALL: tuple[Demand, ...] = (MigProfile("1g.5gb"), MigProfile("2g.10gb"), MigProfile("3g.20gb"), MigProfile("4g.20gb"))
ASKS: tuple[Demand, ...] = (*SMALL, MigProfile("7g.40gb"), Memory(9537), Fraction(0.5), MigProfile("3g.20gb", 4))


def full(rng: Random) -> Snapshot:
    """Filled with jobs of mixed sizes until not even the smallest fits."""
    snapshot = empty(GPUS)
    day = Online(snapshot)
    demands = list(SMALL)
    number = 0
    while demands:
        demand = rng.choice(demands)
        decision = day.decide(Request(f"h{number}", f"h{number}", "p", demand, preemptible=rng.random() < 0.5))
        if decision:
            day.apply(decision, rng.random())
        else:
            demands.remove(demand)
        number += 1
    held = tuple(day.cluster.held.values())
    return replace(snapshot, held=held, gpus=tuple(_reported(snapshot, held)), now=10.0)


def _reported(snapshot: Snapshot, held: tuple[Holding, ...]) -> Iterator[Gpu]:
    on: dict[str, list[Instance]] = {gpu.uuid: [] for gpu in snapshot.gpus}
    for holding in held:
        for share in holding.grant.devices:
            on[share.gpu].append(
                Instance(share.profile or "", share.start or 0, share.size, InstanceState.BUSY, holding.request.claim)
            )
    return (replace(gpu, instances=tuple(on[gpu.uuid])) for gpu in snapshot.gpus)


def main() -> None:
    rng = Random(1)
    snapshot = full(rng)
    times = []
    for number in range(RUNS):
        wish = Request("w", "w", "p", ASKS[number % len(ASKS)], preemptible=False)
        started = time.perf_counter()
        outcome = plan(replace(snapshot, pending=(wish,))).outcomes["w"]
        times.append(time.perf_counter() - started)
        assert isinstance(outcome, Unplaced), outcome
        assert outcome.blockers, outcome
    p50, p99 = (statistics.quantiles(times, n=100, method="inclusive")[i] for i in (49, 98))
    print(f"BENCH verdict gpus={GPUS} p50={p50:.2f} p99={p99:.2f} s running={len(snapshot.held)} verdicts={RUNS}")


if __name__ == "__main__":
    main()
