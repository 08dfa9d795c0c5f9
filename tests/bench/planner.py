"""What a plan for very many requests costs: `python -m tests.bench.planner [GPUS ...]`.

Raw lists to a plan, on the clusters of fleet.py with 2.05 requests a GPU; the median of several
decisions. A plan's steps are columns, each made an object when it is looked at: `listed` is the time
with all of them looked at. Each plan is judged by the independent checker (not timed, and not where
there are a million GPUs: it keeps every fact as an object).
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections import deque
from contextlib import closing
from resource import RUSAGE_SELF, getrusage

from migctl.solver_process.client import SolverProcess
from migctl.solver_process.planning import plan
from solver.model.plan import Plan
from solver.model.snapshot import Policy, Snapshot
from tests.bench.fleet import fleet
from tests.checker import check

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PER_GPU = 2.05
ROUNDS = {1_000_000: 1}
MOST_JUDGED = 100_000
POLICY = Policy(wall_clock_s=60.0, improve_s=0.0)


def main(sizes: list[int]) -> None:
    for gpus in sizes or SIZES:
        snapshot = fleet(gpus, int(gpus * PER_GPU))
        with closing(SolverProcess()) as process:
            _report(snapshot, process)


def _report(snapshot: Snapshot, process: SolverProcess) -> None:
    gpus = len(snapshot.gpus)
    plan(snapshot, POLICY, process)
    rounds = [_timed(snapshot, process) for _ in range(ROUNDS.get(gpus, 5))]
    planned, listed, plans = zip(*rounds, strict=True)
    peak = getrusage(RUSAGE_SELF).ru_maxrss // 1024
    proof = plans[-1].certificate
    if gpus <= MOST_JUDGED:
        check(snapshot, plans[-1])
    print(
        f"BENCH plan gpus={gpus} requests={len(snapshot.pending)} seconds={statistics.median(planned):.3f}"
        f" weight_gap={1 - proof.value / proof.bound:.7f} ops_gap={1 - proof.operations_bound / proof.operations:.5f}"
        f" listed={statistics.median(listed):.3f} steps={len(plans[-1].steps)} peak_mb={peak}",
        flush=True,
    )


def _timed(snapshot: Snapshot, process: SolverProcess) -> tuple[float, float, Plan]:
    gc.collect()
    begin = time.perf_counter()
    decided = plan(snapshot, POLICY, process)
    planned = time.perf_counter() - begin
    deque(decided.steps, maxlen=0)
    return planned, time.perf_counter() - begin, decided


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
