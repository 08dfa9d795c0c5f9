"""`solver.planner.plan` with this program's solver process, and without garbage collection meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from migctl.solver_process.client import shared
from solver import planner
from solver.batch.batch_solver import BatchSolver
from solver.model.plan import Plan
from solver.model.snapshot import Policy, Snapshot


def plan(snapshot: Snapshot, policy: Policy | None = None, solver: BatchSolver | None = None) -> Plan:
    """Decide for every pending request. solver: None for the process that this program shares."""
    with _uncollected():
        return planner.plan(snapshot, policy, solver or shared())


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: each would walk over the whole snapshot, and hardly any cycles are made here."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
