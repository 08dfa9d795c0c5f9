"""`solver.planner.plan` with this program's solver process, and without garbage collection meanwhile."""

from __future__ import annotations

from migctl.garbage_collection import uncollected
from migctl.solver_process.client import shared
from solver import planner
from solver.batch.batch_solver import BatchSolver
from solver.model.plan import Plan
from solver.model.snapshot import Policy, Snapshot


def plan(snapshot: Snapshot, policy: Policy | None = None, solver: BatchSolver | None = None) -> Plan:
    """Decide for every pending request. solver: None for the process that this program shares."""
    with uncollected():
        return planner.plan(snapshot, policy, solver or shared())
