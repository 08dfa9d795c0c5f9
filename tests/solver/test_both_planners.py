"""The same snapshots through both planners, one by one and in batch: the same fair shares, the same admitted set."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from types import MappingProxyType

import pytest

from solver import planner
from solver.batch.columns.gpu_columns import GpuColumns
from solver.batch.columns.held_columns import Holdings
from solver.batch.columns.request_columns import Requests
from solver.batch.fairness import Fairness
from solver.model.catalog import find
from solver.model.cluster import Backing, Gpu, Node
from solver.model.demand import DeviceShare, Grant, Holding, Request, WholeGpus
from solver.model.plan import Placed, Plan
from solver.model.snapshot import DepartmentQueue, Policy, ProjectQueue, Quota, Snapshot
from solver.quota.ledger import Ledger
from tests.checker import check
from tests.depth import THOROUGH
from tests.solver.fleets import random_snapshot
from tests.solver.in_process import InProcessSolver

CLUSTERS = 1000 if THOROUGH else 60
POLICY = Policy(evictions=0)
V100, A100 = find("v100"), find("a100-40gb")
Shares = dict[tuple[str, str], float]


def shares_one_by_one(snapshot: Snapshot) -> Shares:
    """Fair share by project and pool."""
    return {key: account.fair_share for key, account in Ledger(snapshot).accounts.items()}


def shares_in_batch(snapshot: Snapshot) -> Shares:
    """Fair share by project and pool."""
    return {key: account.fair_share for key, account in fairness(snapshot).ledger.accounts.items()}


def fairness(snapshot: Snapshot) -> Fairness:
    holdings = Holdings(snapshot)
    return Fairness(snapshot, GpuColumns(snapshot, holdings), holdings, Requests(snapshot.pending))


def both(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Plan]:
    """The plan made one by one and the plan made in batch, each judged."""
    made = []
    for many in (len(snapshot.pending) + 1, 1):
        monkeypatch.setattr(planner, "MANY", many)
        made.append(planner.plan(snapshot, POLICY, InProcessSolver()))
        check(snapshot, made[-1])
    return made[0], made[1]


def admitted(snapshot: Snapshot, plan: Plan) -> Counter[tuple[str, tuple[str, ...], int]]:
    """Requests with a place by project, pools and priority: which of equal ones it is does not matter."""
    placed = (request for request in snapshot.pending if isinstance(plan.outcomes[request.claim], Placed))
    return Counter((request.project, request.pools, request.priority) for request in placed)


def drifted() -> Snapshot:
    """Once 2/1/1 one by one and 0.714/0.714/0.571 in batch: a MIG pool beside, and work held on fenced GPUs."""
    mig = tuple(Gpu(f"A{i}", "m", i, A100.id, A100.memory_mib, mig=True) for i in range(4))
    plain = tuple(Gpu(f"V{i}", "p", i, V100.id, V100.memory_mib, fenced="broken" if i < 2 else "") for i in range(4))
    return Snapshot(
        nodes=(Node("m", "mig"), Node("p", "plain")),
        gpus=(*mig, *plain),
        models=MappingProxyType({A100.id: A100, V100.id: V100}),
        pending=tuple(_whole(f"r{i}", project, created=i) for i, project in enumerate("abbcc")),
        held=tuple(_held(f"c{i}", "a", plain[i]) for i in range(2)),
        projects=tuple(ProjectQueue(name, Quota(0.0)) for name in "abc"),
    )


def _whole(claim: str, project: str, *, pool: str = "plain", priority: int = 50, created: float = 0.0) -> Request:
    return Request(
        claim, claim, project, WholeGpus(), priority, preemptible=priority < 100, created=created, pools=(pool,)
    )


def _held(claim: str, project: str, gpu: Gpu) -> Holding:
    share = DeviceShare(gpu.uuid, Backing.WHOLE, 1.0, gpu.memory_mib)
    return Holding(Request(claim, claim, project, WholeGpus()), Grant(gpu.node, (share,)))


def test_work_held_on_broken_gpus_and_a_mig_pool_beside_change_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = drifted()
    shares = shares_one_by_one(snapshot)
    assert [shares[project, "plain"] for project in "abc"] == [2.0, 1.0, 1.0]
    assert shares_in_batch(snapshot) == shares
    one_by_one, batch = both(snapshot, monkeypatch)
    assert (
        admitted(snapshot, one_by_one)
        == admitted(snapshot, batch)
        == {("b", ("plain",), 50): 1, ("c", ("plain",), 50): 1}
    )


@pytest.mark.parametrize("waiting", [planner.MANY - 1, planner.MANY])
def test_the_256th_waiting_claim_changes_nothing(waiting: int) -> None:
    """The planner's own choice: one by one at 255 waiting claims, in batch at 256."""
    base = drifted()
    pending = tuple(_whole(f"r{i}", "abc"[i % 3], created=i) for i in range(waiting))
    snapshot = replace(base, pending=pending)
    shares = shares_one_by_one(snapshot)
    assert [shares[project, "plain"] for project in "abc"] == [2.0, 1.0, 1.0]
    assert shares_in_batch(snapshot) == shares
    plan = planner.plan(snapshot, POLICY, InProcessSolver())
    assert admitted(snapshot, plan) == {("b", ("plain",), 50): 1, ("c", ("plain",), 50): 1}


@pytest.mark.parametrize("seed", range(CLUSTERS))
def test_whatever_the_cluster_the_shares_are_the_same(seed: int) -> None:
    """MIG and not, several pools, quotas, limits, departments, gangs, fenced GPUs, work held, all kinds of demand."""
    rng = Random(seed)
    found = random_snapshot(rng, gpus=rng.randint(1, 30), pending=rng.randint(1, 80))
    departments, projects = _queues(rng, [project.name for project in found.projects])
    snapshot = replace(found, departments=departments, projects=projects)
    assert shares_in_batch(snapshot) == pytest.approx(shares_one_by_one(snapshot))


def _queues(rng: Random, names: list[str]) -> tuple[tuple[DepartmentQueue, ...], tuple[ProjectQueue, ...]]:
    departments = (DepartmentQueue("d", Quota(quota=rng.choice([-1.0, 2.0, 5.0]), limit=rng.choice([-1.0, 6.0]))),)
    projects = tuple(
        ProjectQueue(
            name,
            Quota(rng.choice([-1.0, 0.0, 0.5, 2.0]), rng.choice([-1.0, 3.0]), weight=rng.choice([0.0, 1.0, 2.0])),
            department=rng.choice([None, "d"]),
        )
        for name in names
    )
    return departments, projects


def exact_cluster(rng: Random) -> Snapshot:
    """A cluster on which both planners are exact: they admit what the fair shares say, whatever the order.

    Every request is one whole GPU without MIG, so nothing is lost in packing. Every queue has a weight, so the shares
    use up the pool or meet every want. A project's requests wait for one pool: one by one, the first of a project's
    queue says when its turn is, in whichever pool it waits. No department's quota bars work that may not be preempted:
    who of its projects comes first with such work is left to the order of turns.
    """
    pools = ("blue", "green")[: rng.randint(1, 2)]
    nodes = [Node(f"n{i}", pool) for i, pool in enumerate(pools)]
    gpus = tuple(
        Gpu(f"{node.name}-{i}", node.name, i, V100.id, V100.memory_mib, fenced="broken" if rng.random() < 0.1 else "")
        for node in nodes
        for i in range(rng.randint(1, 12))
    )
    names = [f"team-{i}" for i in range(rng.randint(1, 5))]
    pool_of = {name: rng.choice(pools) for name in names}
    whose = [rng.choice(names) for _ in range(rng.randint(1, 40))]
    pending = tuple(
        _whole(f"r{i}", name, pool=pool_of[name], priority=rng.choice([50, 75, 100]), created=rng.random())
        for i, name in enumerate(whose)
    )
    held = tuple(_held(f"h{i}", rng.choice(names), gpu) for i, gpu in enumerate(gpus) if rng.random() < 0.3)
    return Snapshot(
        nodes=tuple(nodes),
        gpus=gpus,
        models=MappingProxyType({V100.id: V100}),
        pending=pending,
        held=held,
        departments=(DepartmentQueue("d", Quota(50.0, rng.choice([-1.0, 6.0]))),),
        projects=tuple(
            ProjectQueue(
                name,
                Quota(rng.choice([-1.0, 0.0, 1.0, 3.0]), rng.choice([-1.0, 4.0]), rng.choice([1.0, 2.0])),
                department=rng.choice([None, "d"]),
            )
            for name in names
        ),
    )


@pytest.mark.parametrize("seed", range(CLUSTERS))
def test_where_both_are_exact_they_admit_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shares; the same number of each project, pool and kind, unless somebody holds more than the share."""
    snapshot = exact_cluster(Random(seed))
    shares = shares_one_by_one(snapshot)
    assert shares_in_batch(snapshot) == pytest.approx(shares)
    one_by_one, batch = both(snapshot, monkeypatch)
    assert admitted(snapshot, one_by_one).total() == admitted(snapshot, batch).total()
    if all(account.allocated <= account.fair_share for account in Ledger(snapshot).accounts.values()):
        assert admitted(snapshot, one_by_one) == admitted(snapshot, batch)
