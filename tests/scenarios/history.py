"""Random histories: work that arrives, runs for its time and ends, in a cluster of several projects."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from random import Random

from migctl.admission import ranked
from migctl.objects import GangSpec, GpuRequest, Meta, Workload, WorkloadSpec, WorkloadType
from solver.model.plan import Assign, Evict, Plan
from solver.model.snapshot import Snapshot
from solver.quota.ledger import Ledger
from tests.scenarios.language import parse
from tests.scenarios.safety import consistent, judge
from tests.scenarios.virtual import VirtualWorld

CLUSTER = """
node node-a 4 v100; node node-b 4 v100; node node-c 2 a100-40gb; node node-d 2 a100-40gb
department science quota 5
project team-a quota 3 weight 1; project team-b quota 2 weight 3
project team-c quota 3 department science; project team-d quota 2 department science weight 1
project team-e quota 1 limit 4 priority 1
"""
PROJECTS = ("team-a", "team-b", "team-c", "team-d", "team-e")
ASKS = (
    *(GpuRequest(devices=1),) * 4,
    GpuRequest(devices=2),
    GpuRequest(devices=4),
    GpuRequest(fraction=0.5),
    GpuRequest(fraction=0.25),
    GpuRequest(memory_mib=9537),
    GpuRequest(profile="1g.5gb"),
    GpuRequest(profile="2g.10gb"),
    GpuRequest(profile="3g.20gb"),
)


def random_workload(rng: Random, number: int) -> Workload:
    """A training mostly; some workspaces, some gangs, some of them elastic."""
    gpu_request, kind = rng.choice(ASKS), rng.random()
    name, project = f"w{number}", rng.choice(PROJECTS)
    if kind < 0.15:
        spec = WorkloadSpec(type=WorkloadType.WORKSPACE, gpu_request=gpu_request, preemptible=rng.random() < 0.3)
    elif kind < 0.3:
        pods = rng.randint(2, 4)
        gang = GangSpec(rng.choice([pods, rng.randint(1, pods)]))
        spec = WorkloadSpec(
            type=WorkloadType.DISTRIBUTED, gpu_request=GpuRequest(devices=1), parallelism=pods, gang=gang
        )
    else:
        spec = WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=gpu_request)
    return Workload(meta=Meta(name=name, project=project), spec=ranked(spec))


@dataclass
class JudgedWorld(VirtualWorld):
    """A virtual world in which every plan and every state is judged, and preemptions are remembered.

    changes  arrivals and ends so far, by project: what a change in demand is
    """

    changes: Counter[str] = field(default_factory=Counter)
    preempted: dict[tuple[str, str, str], Hashable] = field(default_factory=dict)

    def decided(self, state: Snapshot, plan: Plan) -> None:
        judge(state, plan)
        consistent(state)
        self._no_thrash(state, plan)

    def _no_thrash(self, state: Snapshot, plan: Plan) -> None:
        """No workload is preempted twice by the same pair of projects without a change in demand.

        Between two projects theirs counts; within one, everybody's: the taker may have lost its place to others.
        """
        ledger = Ledger(state)
        shares = {project: round(account.fair_share, 6) for (project, _), account in ledger.accounts.items()}
        moved = {step.claim for step in plan.steps if isinstance(step, Assign)}
        takers = {request.claim: request.project for request in state.pending}
        fresh: dict[tuple[str, str, str], Hashable] = {}
        for step in plan.steps:
            if isinstance(step, Evict) and step.claim not in moved:
                victim, taker = self.pods_[step.claim].request, takers[step.beneficiary]
                pair = (victim.project, taker)
                concerned = PROJECTS if victim.project == taker else pair
                fresh[victim.workload, *pair] = tuple((self.changes[name], shares[name]) for name in concerned)
        for key, gpu_request in fresh.items():
            assert self.preempted.get(key) != gpu_request, f"{key} again, and nothing has changed"
        self.preempted |= fresh


def run(rng: Random, workloads: int, hours: float, grace_s: float = 10.0) -> JudgedWorld:
    """So many workloads that arrive within so many hours; the world when all of them were there."""
    scenario = parse(CLUSTER)
    world = JudgedWorld.of(scenario, grace_s)
    world.policy = replace(world.policy, tries=10)
    events = [(rng.uniform(0, hours * 3600), number) for number in range(workloads)]
    heapq.heapify(events)
    ends: list[tuple[float, str]] = []
    while events or ends:
        if ends and (not events or ends[0][0] <= events[0][0]):
            moment, name = heapq.heappop(ends)
            world.now = max(world.now, moment)
            _end(world, name, ends, rng)
        else:
            moment, number = heapq.heappop(events)
            world.now = max(world.now, moment)
            workload = random_workload(rng, number)
            world.changes[workload.meta.project] += 1
            world.submit(workload)
            heapq.heappush(ends, (world.now + rng.expovariate(1 / 5400), workload.meta.name))
    return world


def _end(world: JudgedWorld, name: str, ends: list[tuple[float, str]], rng: Random) -> None:
    """A workload ends once it has run; one that waits is given up now and then, so that waiting work stays the rule."""
    if not world.pods(name) and rng.random() < 0.8:
        heapq.heappush(ends, (world.now + rng.expovariate(1 / 3600), name))
        return
    world.changes[world.workloads[name].meta.project] += 1
    world.delete(name)
