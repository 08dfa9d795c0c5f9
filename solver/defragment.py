"""Defragmentation as a proposal: the fewest moves that make room for large shares. Nothing is carried out here.

Room for the largest shares is sought first, then for smaller ones: all that are free already are
reserved, then moves (sequential/moving.py) open one more at a time, until the budget is used up. So what
a proposal opens it opens in addition to what was free. Work that may not be moved stays, and every
moved claim has its new place in the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from solver.disruption.reasons import moved_to
from solver.model.demand import Demand, Grant, MigProfile, Request, WholeGpus
from solver.model.plan import Certificate, Method, Plan
from solver.model.snapshot import MemoryRule, Policy, ProjectQueue, Quota, Snapshot
from solver.sequential.moving import Moving
from solver.sequential.workspace import Move, Workspace
from solver.whatif import layouts
from solver.working_copy.copy import WorkingCopy
from solver.working_copy.occupancy import WorkingCluster, WorkingGpu
from solver.working_copy.steps import StepList

NOBODY = "defragmentation/"
"""Holds what is reserved; no project has such a name."""
WHOLE = "whole GPU"


@dataclass(frozen=True, slots=True)
class Relocation:
    """A claim and its old and new place."""

    request: Request
    old: Grant
    new: Grant


@dataclass(frozen=True, slots=True)
class Proposal:
    """Moves, the plan that carries them out, and what they are good for.

    room     of each share (a profile's name, or WHOLE): how many fit before and after, each counted on its own
    layouts  GPU UUID to what is on it before and after
    """

    moves: tuple[Relocation, ...]
    plan: Plan
    room: Mapping[str, tuple[int, int]]
    layouts: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]

    @property
    def opened(self) -> Mapping[str, int]:
        """How many more of each share fit; shares with no difference are left out."""
        return {name: after - before for name, (before, after) in self.room.items() if after != before}


def propose(snapshot: Snapshot, moves: int, target: Demand | None = None, policy: Policy | None = None) -> Proposal:
    """At most so many moves. target: the share to make room for; None: every kind there is, the largest first."""
    policy = replace(policy or Policy(), evictions=moves)
    imagined = replace(snapshot, pending=(), projects=(*snapshot.projects, ProjectQueue(NOBODY, Quota(quota=-1.0))))
    workspace = Workspace(imagined, policy, WorkingCopy(imagined))
    before = _room(workspace.cluster)
    steps, found = StepList(), list[Move]()
    for demand in (target,) if target else _targets(workspace.cluster):
        _open(workspace, demand, moves, found, steps)
    plan = Plan(tuple(steps.steps), steps.after, MappingProxyType({}), _certificate(steps))
    old, new = layouts(snapshot, Plan()), layouts(snapshot, plan)
    after = _room(workspace.cluster)
    return Proposal(
        moves=tuple(Relocation(m.request, workspace.cluster.held[m.request.claim].grant, m.grant) for m in found),
        plan=plan,
        room=MappingProxyType({name: (count, after[name]) for name, count in before.items()}),
        layouts=MappingProxyType({uuid: (old[uuid], new[uuid]) for uuid in old if old[uuid] != new[uuid]}),
    )


def _targets(cluster: WorkingCluster) -> list[Demand]:
    """Whole GPUs where there are some without MIG, then every plain profile, the larger part of a GPU first."""
    tables = {gpu.table for gpu in cluster.gpus.values() if gpu.table}
    parts: dict[str, float] = {}
    for table in tables:
        for profile in table.model.profiles:
            if profile.starts and not profile.variant:
                parts[profile.name] = max(parts.get(profile.name, 0.0), profile.size / table.model.units)
    plain = [WholeGpus()] if any(not gpu.reported.mig for gpu in cluster.gpus.values()) else []
    return [*plain, *(MigProfile(name) for name in sorted(parts, key=lambda name: (-parts[name], name)))]


def _open(workspace: Workspace, demand: Demand, budget: int, found: list[Move], steps: StepList) -> None:
    """Reserve what is free for the demand, then open one place after another."""
    search, number = Moving(workspace), 0
    while len(found) <= budget:
        request = Request(f"{NOBODY}{demand}-{number}", str(demand), NOBODY, demand)
        number += 1
        if candidates := workspace.free(request, workspace.everywhere):
            workspace.cluster.take(request, candidates)
            continue
        opened = search.open(request, workspace.everywhere, budget - len(found))
        if opened is None:
            return
        moves = opened[2]
        for move in moves:
            before = workspace.cluster.held[move.request.claim].grant
            steps.evict(move.request.claim, "", f"{moved_to(before, move.grant)} to join free room")
        for move in moves:
            steps.assign(move.request.claim, move.grant, move.candidates, tuple(m.request.claim for m in moves))
        found += moves


def _room(cluster: WorkingCluster) -> dict[str, int]:
    """How many of each share fit, each kind counted as if it were the only one."""
    gpus = [gpu for gpu in cluster.gpus.values() if gpu.node.reported.ready and not gpu.reported.fenced]
    room: dict[str, int] = {}
    for gpu in gpus:
        for name, count in _fitting(gpu, cluster):
            room[name] = room.get(name, 0) + count
    return room


def _fitting(gpu: WorkingGpu, cluster: WorkingCluster) -> Iterable[tuple[str, int]]:
    stay = [o for o in gpu.occupants if o.claim not in cluster.leaving and not (o.claim or "").startswith(NOBODY)]
    if gpu.table is None:
        if not gpu.reported.mig:
            yield WHOLE, int(not stay)
        return
    if not stay and gpu.table.mig_options(WholeGpus(), MemoryRule.PROPORTIONAL):
        yield WHOLE, 1
    for name, slots in gpu.table.by_profile.items():
        mask, names, count = 0, tuple(o.profile for o in stay if o.profile), 0
        for occupant in stay:
            mask |= occupant.mask
        for slot in sorted(slots, key=lambda s: s.start):
            if not slot.mask & mask and gpu.table.beside((*names, name)):
                mask, names, count = mask | slot.mask, (*names, name), count + 1
        yield name, count


def _certificate(steps: StepList) -> Certificate:
    return Certificate(Method.GREEDY, 0.0, 0.0, steps.operations, 0)
