"""The path of a verdict: admitted as on submission, then the controller's own snapshot, planner and policy."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from migctl import admission
from migctl.backends.protocol import Invalid
from migctl.controller.loop import Observing, Planner
from migctl.garbage_collection import uncollected
from migctl.objects import GpuNode, NodePool, Project, Workload, WorkloadVerdict
from migctl.verdicts.hiding import Sees, everything
from migctl.verdicts.judging import UsersOf, judged, nobody
from solver.model.snapshot import Policy


def admitted(
    workload: Workload, projects: Collection[Project], nodes: Collection[GpuNode], node_pools: Iterable[NodePool]
) -> Workload:
    """The workload as it would be stored. Raises what admission refuses it for, and Invalid for a suspended one."""
    admission.check_submission(workload, projects, nodes, node_pools)
    if workload.spec.suspended:
        raise Invalid(
            "spec.suspended: a suspended workload starts when it is resumed, and a verdict is of now",
            hint="ask without it",
            field="spec.suspended",
        )
    return replace(workload, spec=admission.ranked(workload.spec))


def decided(
    observer: Observing[Any],
    seen: Any,
    workload: Workload,
    planner: Planner,
    policy: Policy,
    now: datetime,
    users_of: UsersOf = nobody,
    sees: Sees = everything,
) -> WorkloadVerdict:
    """The verdict on an admitted workload. seen: what the observer captured."""
    with uncollected():
        state = observer.snapshot(observer.imagined(seen, workload, now), now)
        plan = planner(state, policy)
        return judged(state, plan, workload, now, users_of, sees)
