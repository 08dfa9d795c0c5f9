"""The cluster as data, under a clock of its own: the production planner decides, the world carries out.

A stopped pod leaves after `grace_s`; with a grace of 0 a plan is carried out at once, evictions and
assignments together, as a person would read it. Every plan passes the checker.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

from migctl.backoff import delay
from migctl.controller import queues
from migctl.objects import Workload
from migctl.reason_text import sentence
from migctl.solver_process.planning import plan
from solver.model.catalog import find
from solver.model.cluster import Gpu, InstanceState, Node
from solver.model.demand import Gang, Grant, Holding, Request
from solver.model.occupation import occupied
from solver.model.plan import Assign, Evict, Placed, Plan
from solver.model.reasons import Unplaced
from solver.model.snapshot import DepartmentQueue, Policy, ProjectQueue, Snapshot
from solver.quota.ledger import Ledger
from tests.checker import check
from tests.scenarios.language import Scenario
from tests.scenarios.play import Condition

SETTLE_STEPS = 100


@dataclass
class Pod:
    """One claim. `leaves`: when a pod that was told to stop is gone."""

    request: Request
    index: int
    grant: Grant | None = None
    since: float = 0.0
    leaves: float | None = None


@dataclass
class VirtualWorld:
    """Nodes, queues and pods; `now` moves only when told to.

    breaks: workloads that cannot start where they are placed; failures: how often they could not
    """

    nodes: tuple[Node, ...]
    gpus: dict[str, Gpu]
    projects: tuple[ProjectQueue, ...]
    departments: tuple[DepartmentQueue, ...] = ()
    grace_s: float = 0.0
    policy: Policy = field(default_factory=Policy)
    now: float = 0.0
    pods_: dict[str, Pod] = field(default_factory=dict)
    workloads: dict[str, Workload] = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    counts: Counter[str] = field(default_factory=Counter)
    stories: dict[str, str] = field(default_factory=dict)
    breaks: set[str] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, scenario: Scenario, grace_s: float) -> Self:
        nodes = tuple(Node(n.name, labels=MappingProxyType(dict(n.labels))) for n in scenario.nodes)
        gpus = [
            Gpu(f"{n.name}-{i}", n.name, i, model.id, model.memory_mib, bool(model.units))
            for n in scenario.nodes
            for model in [find(n.model)]
            for i in range(n.count)
        ]
        projects = (replace(queues.project(p), created=float(i)) for i, p in enumerate(scenario.projects))
        departments = (replace(queues.department(d), created=float(i)) for i, d in enumerate(scenario.departments))
        return cls(nodes, {gpu.uuid: gpu for gpu in gpus}, tuple(projects), tuple(departments), grace_s)

    # What people do

    def submit(self, workload: Workload) -> None:
        self.now += 1.0
        self.workloads[workload.meta.name] = workload
        for index in range(workload.spec.parallelism):
            self.pend(workload, index, self.now)
        self.settle()

    def delete(self, name: str) -> None:
        del self.workloads[name]
        for claim, pod in list(self.pods_.items()):
            if pod.request.workload == name:
                self._stop(claim)
        self.settle()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.settle()

    def cycles(self, count: int) -> None:
        for _ in range(count):
            self.now += 5.0
            self.cycle()

    # What they see

    def is_in(self, name: str, phase: str) -> bool:
        mine = [pod for pod in self.pods_.values() if pod.request.workload == name and pod.leaves is None]
        running = bool(mine) and all(pod.grant is not None for pod in mine)
        return running if phase == "Running" else not any(pod.grant is not None for pod in mine)

    def reason(self, name: str) -> str:
        said = [o for c, o in self.plan.outcomes.items() if c in self.pods_ and self.pods_[c].request.workload == name]
        return " ".join(sentence(o) for o in said if isinstance(o, Unplaced))

    def told(self, name: str) -> str:
        return self.stories.get(name, "")

    def pods(self, name: str) -> dict[str, str]:
        return {c: p.grant.node for c, p in self.pods_.items() if p.request.workload == name and p.grant}

    def uses(self, project: str) -> float:
        return sum(a.allocated for (name, _), a in Ledger(self.snapshot()).accounts.items() if name == project)

    def stopped(self) -> Counter[str]:
        return Counter(self.counts)

    def until(self, what: str, true: Condition) -> None:
        assert true(), what

    # How it moves

    def snapshot(self) -> Snapshot:
        return Snapshot(
            nodes=self.nodes,
            gpus=tuple(self.gpus.values()),
            models=MappingProxyType({gpu.model: find(gpu.model) for gpu in self.gpus.values()}),
            pending=tuple(pod.request for pod in self.pods_.values() if pod.grant is None),
            held=tuple(
                Holding(pod.request, pod.grant, pod.since, pod.leaves is not None)
                for pod in self.pods_.values()
                if pod.grant is not None
            ),
            projects=self.projects,
            departments=self.departments,
            now=self.now,
        )

    def settle(self) -> None:
        """Decide until nothing changes and nobody is leaving."""
        for _ in range(SETTLE_STEPS):
            changed = self.cycle()
            leaving = [pod.leaves for pod in self.pods_.values() if pod.leaves is not None]
            if leaving:
                self.now = max(self.now, min(leaving))
            elif not changed:
                return
        raise AssertionError("it does not come to rest")

    def cycle(self) -> bool:
        """One decision, carried out; whether anything changed."""
        gone = self._clear()
        state = self.snapshot()
        self.plan = plan(state, self.policy)
        check(state, self.plan)
        self.decided(state, self.plan)
        return self._carry_out() or gone

    def decided(self, state: Snapshot, plan: Plan) -> None:
        """A plan was made; for worlds that look closer."""

    def _carry_out(self) -> bool:
        changed = False
        moves = {step.claim: step.grant for step in self.plan.steps if isinstance(step, Assign)}
        for step in self.plan.steps:
            if isinstance(step, Evict):
                self._evict(step, moves.get(step.claim))
                changed = True
        if self.grace_s == 0:
            changed = self._clear() or changed
        for claim, outcome in self.plan.outcomes.items():
            if not isinstance(outcome, Placed):
                continue
            if any(waited in self.pods_ for waited in outcome.waits_for):
                self.pods_[claim].request = replace(self.pods_[claim].request, nominated=outcome.grant)
            else:
                self._hold(claim, outcome.grant)
                changed = True
        return changed

    def _evict(self, step: Evict, moves_to: Grant | None) -> None:
        pod = self.pods_[step.claim]
        self.counts["moved" if moves_to else "evicted"] += 1
        self.stories[pod.request.workload] = step.why
        self._stop(step.claim)
        successor = self.pend(self.workloads[pod.request.workload], pod.index, pod.request.created)
        self.pods_[successor].request = replace(self.pods_[successor].request, nominated=moves_to)

    def pend(self, workload: Workload, index: int, created: float) -> str:
        claim, spec, gang = f"c{next(self.numbers)}", workload.spec, workload.spec.gang
        request = Request(
            claim=claim,
            name=workload.meta.name,
            project=workload.meta.project,
            demand=spec.gpu_request.to_demand(),
            priority=spec.priority,
            preemptible=spec.preemptible,
            created=created,
            waiting_since=self.now,
            workload=workload.meta.name,
            gang=Gang(workload.meta.name, gang.size, gang.domain, gang.required) if gang else None,
        )
        self.pods_[claim] = Pod(request, index)
        return claim

    def _hold(self, claim: str, grant: Grant) -> None:
        pod = self.pods_[claim]
        if pod.request.workload in self.breaks:
            self.failures[pod.request.workload] += 1
            wait = delay(self.failures[pod.request.workload], pod.request.workload).total_seconds()
            pod.request = replace(pod.request, nominated=None, backing_off_until=self.now + wait)
            return
        pod.grant, pod.since = grant, self.now
        pod.request = replace(pod.request, nominated=None)
        for share in grant.devices:
            self.gpus[share.gpu] = occupied(self.gpus[share.gpu], claim, share)

    def _stop(self, claim: str) -> None:
        pod = self.pods_[claim]
        if pod.grant is None:
            del self.pods_[claim]
        elif pod.leaves is None:
            pod.leaves = self.now + self.grace_s

    def _clear(self) -> bool:
        """Let those go whose time has come; whether there were any."""
        gone = [c for c, pod in self.pods_.items() if pod.leaves is not None and pod.leaves <= self.now]
        for claim in gone:
            pod = self.pods_.pop(claim)
            assert pod.grant is not None
            for share in pod.grant.devices:
                self.gpus[share.gpu] = _without(self.gpus[share.gpu], claim)
        return bool(gone)


def _without(gpu: Gpu, claim: str) -> Gpu:
    """The GPU after a claim has left: its instance stays, idle."""
    instances = (replace(i, state=InstanceState.IDLE, claim=None) if i.claim == claim else i for i in gpu.instances)
    return replace(
        gpu,
        instances=tuple(instances),
        parts=tuple(part for part in gpu.parts if part.claim != claim),
        held_by=None if gpu.held_by == claim else gpu.held_by,
    )
