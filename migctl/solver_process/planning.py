"""`solver.planner.plan` with this program's solver process, and without garbage collection meanwhile."""

from __future__ import annotations

from migctl.garbage_collection import uncollected
from migctl.solver_process.client import shared
from solver import planner
from solver.batch.batch_solver import BatchSolver
from solver.model.plan import Plan
from solver.model.snapshot import Policy, Snapshot
from solver.working_copy.kept import KeptCluster


def plan(snapshot: Snapshot, policy: Policy | None = None, solver: BatchSolver | None = None) -> Plan:
    """Decide for every pending request. solver: None for the process that this program shares."""
    with uncollected():
        return planner.plan(snapshot, policy, solver or shared())


class KeptPlanner:
    """`plan` for decisions that follow each other: what does not change between them is not made again.

    One call at a time. The decisions are those of `plan`.
    """

    def __init__(self, solver: BatchSolver | None = None) -> None:
        self._solver, self._kept = solver, KeptCluster()

    def __call__(self, snapshot: Snapshot, policy: Policy | None = None) -> Plan:
        with uncollected():
            return planner.plan(snapshot, policy, self._solver or shared(), self._kept)
