"""What is admitted, by us and by others, on the same requests: `python -m tests.bench.acceptance [FILE.csv]`.

100 A100-40GB, requests that leave where there is no room (migctl/simulate/demand/generated.py says what the mixes
are). slices is the compute admitted, of the compute asked for. After each row stands how far we are ahead
of the best of the others, and behind a cluster that re-packs for free, in points. Moves are looked for by
the planner, which takes longer than a table: they are measured on the first arrivals, beside the bound there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

from migctl.simulate.compare import compare
from migctl.simulate.demand.generated import MIXES, DemandMix
from migctl.simulate.fleet import parse
from migctl.simulate.policies import BOUND, MIGCTL, MIGCTL_MOVING, schedulers
from migctl.simulate.results.metrics import Result
from migctl.simulate.results.report import as_csv

FLEET = "a100-40gb=100"
LOADS = (0.85, 1.0, 1.1)
ARRIVALS = 100_000
WITH_MOVES = 30_000

Row = tuple[str, float]
Results = tuple[list[Result], list[Result]]
"""Without moves, and with one beside its bound."""


def row(mix_and_load: Row) -> Results:
    mix, load = mix_and_load
    fleet = parse(FLEET)
    arrivals = tuple(DemandMix(mix, load, ARRIVALS, seed=1).on(fleet))
    known = schedulers(fleet, arrivals)
    without = {name: make for name, make in known.items() if name != MIGCTL_MOVING}
    moving = {name: known[name] for name in (MIGCTL_MOVING, BOUND)}
    return list(compare(fleet, arrivals, without)), list(compare(fleet, arrivals[:WITH_MOVES], moving))


def lines(mix: str, load: float, results: Results) -> Iterator[str]:
    without, (moving, bound) = results
    slices = {result.policy: 100 * result.slices for result in without}
    for result in (*without, moving):
        name = result.policy.replace(", ", "+").replace(" ", "-")
        yield (
            f"BENCH acceptance mix={mix} load={load} policy={name} "
            f"requests={result.requests:.4f} slices={result.slices:.4f} "
            f"arrivals={result.arrivals} moves_per_100={100 * result.moves / result.admitted:.1f} "
            f"operations_per_100={100 * (result.creates + result.destroys) / result.admitted:.0f}"
        )
    others = max((value, name) for name, value in slices.items() if name not in (MIGCTL, BOUND))
    yield (
        f"BENCH acceptance mix={mix} load={load} ahead_of={others[1]} points={slices[MIGCTL] - others[0]:.2f} "
        f"behind_bound={slices[BOUND] - slices[MIGCTL]:.2f} with_one_move={100 * (bound.slices - moving.slices):.2f}"
    )


def main(file: str = "") -> None:
    rows = list(product(MIXES, LOADS))
    found: list[str] = []
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as workers:
        for (mix, load), results in zip(rows, workers.map(row, rows), strict=True):
            print(*lines(mix, load, results), sep="\n", flush=True)
            header, *table = as_csv((*results[0], results[1][0])).splitlines()
            found += [f"mix,load,{header}"] * (not found) + [f"{mix},{load},{line}" for line in table]
    if file:
        Path(file).write_text("\n".join(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
