"""Carrying out a plan in a cluster that has changed since: each step is checked again, and a refusal leaves no trace.

The applier sees the objects as they were when the mirror last read them; the store is what somebody changed since.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from migctl.backends.protocol import Conflict, Unavailable
from migctl.controller.apply import Verdict
from migctl.objects import Claim, GpuNode, GpuRequest, StepState, T, to_builtins
from nodeagent.contract.allocation import NodeReport
from solver import planner
from solver.model.cluster import Gpu, Instance, InstanceState
from solver.model.demand import Grant
from solver.model.plan import Assign, Evict, Placed, Plan
from solver.model.snapshot import Policy
from tests.fakes.control_plane import MemoryControlPlane
from tests.migctl.controller.driven import A100, PROFILE_2G, Cluster, a100, three_trainings

pytestmark = pytest.mark.anyio


@dataclass
class Unreachable(MemoryControlPlane):
    """Does not answer a verb once it stands in `down`. `deleted` is what happens at once when something is deleted."""

    down: set[str] = field(default_factory=set)
    deleted: Callable[[], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        super().__init__()

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        self._answer("get")
        return await super().get(kind, name, project)

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        self._answer("patch")
        return await super().patch(obj, changes, fenced=fenced)

    async def delete(self, obj: T) -> None:
        self._answer("delete")
        await super().delete(obj)
        if self.deleted is not None:
            await self.deleted()

    def _answer(self, verb: str) -> None:
        if verb in self.down:
            raise Unavailable("the server does not answer")


@dataclass
class Preemption:
    """Three trainings run, a workspace waits, and a plan gives it the room of one of them."""

    cluster: Cluster = field(default_factory=lambda: Cluster(control_plane=Unreachable()))
    plan: Plan = field(init=False)

    async def begin(self) -> Preemption:
        await three_trainings(self.cluster)
        await self.cycle()
        await self.cluster.claim("desk", GpuRequest(profile="3g.20gb"), priority=100, preemptible=False)
        self.plan = await planned(self.cluster)
        return self

    @property
    def down(self) -> set[str]:
        assert isinstance(self.cluster.control_plane, Unreachable)
        return self.cluster.control_plane.down

    @property
    def eviction(self) -> Evict:
        (step,) = (step for step in self.plan.steps if isinstance(step, Evict))
        return step

    async def cycle(self) -> None:
        await self.cluster.mirror.read()
        await self.cluster.controller.cycle(self.cluster.applier)

    async def victim(self) -> Claim:
        return await self._claim(self.eviction.claim)

    async def desk(self) -> Claim:
        return await self._claim(self.eviction.beneficiary)

    async def _claim(self, uid: str) -> Claim:
        claims = (await self.cluster.control_plane.list(Claim)).items
        return next(claim for claim in claims if claim.meta.uid == uid)

    async def change(self, claim: Claim, **status: Any) -> Claim:
        return await self.cluster.control_plane.patch(claim, {"status": status})

    async def remove(self, claim: Claim) -> None:
        """Its last finalizer is gone, and so is the claim."""
        await self.cluster.control_plane.delete(claim)
        await self.cluster.control_plane.patch(await self._claim(claim.meta.uid), {"meta": {"finalizers": []}})

    async def verdict(self) -> Verdict:
        """Carry out the plan; what became of the eviction."""
        verdicts = await self.cluster.apply(self.plan)
        return verdicts[self.plan.steps.index(self.eviction)]


async def planned(cluster: Cluster) -> Plan:
    """A plan for the cluster as it is, and a mirror that shows it so from now on."""
    await cluster.mirror.read()
    return planner.plan(cluster.controller.observe(), Policy())


async def one_assignment() -> tuple[Cluster, Plan]:
    """A training waits, and a plan gives it a place."""
    cluster = Cluster(control_plane=Unreachable())
    await cluster.node(a100())
    await cluster.project()
    await cluster.claim("a", PROFILE_2G)
    return cluster, await planned(cluster)


async def _lost_its_place(case: Preemption) -> None:
    await case.change(await case.victim(), allocation=None)


async def _was_removed(case: Preemption) -> None:
    await case.remove(await case.victim())


async def _was_replaced(case: Preemption) -> None:
    victim = await case.victim()
    await case.remove(victim)
    again = await case.cluster.claim(victim.spec.workload, PROFILE_2G)
    await case.change(again, allocation=to_builtins(victim.status.allocation))


# Evictions


@pytest.mark.parametrize("happened", [_lost_its_place, _was_removed, _was_replaced])
async def test_a_claim_that_holds_nothing_any_more_is_not_evicted(
    happened: Callable[[Preemption], Awaitable[None]],
) -> None:
    case = await Preemption().begin()
    cluster = case.cluster
    await happened(case)
    await cluster.mirror.read()
    assert await case.verdict() == (StepState.REJECTED, "it holds nothing any more")
    assert not any(claim.meta.deleting for claim in (await cluster.control_plane.list(Claim)).items)


async def test_a_claim_that_is_being_deleted_is_not_evicted_twice() -> None:
    case = await Preemption().begin()
    await case.cluster.control_plane.delete(await case.victim())
    await case.cluster.mirror.read()
    before = await case.victim()
    assert await case.verdict() == (StepState.ACCEPTED, "")
    assert await case.victim() == before


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "placed elsewhere"])
async def test_nobody_is_evicted_for_a_claim_that_does_not_wait_any_more(gone: bool) -> None:
    case = await Preemption().begin()
    desk, before = await case.desk(), await case.victim()
    if gone:
        await case.remove(desk)
    else:
        await case.change(desk, allocation=to_builtins(Grant("node-b", ())))
    await case.cluster.mirror.read()
    assert await case.verdict() == (StepState.REJECTED, "the claim it was for does not wait any more")
    assert await case.victim() == before


async def test_an_eviction_of_a_claim_that_changed_meanwhile_is_refused_and_undone() -> None:
    case = await Preemption().begin()
    await case.change(await case.victim(), message="step 7 of 9")
    state, why = await case.verdict()
    assert (state, "changed since it was read" in why) == (StepState.REJECTED, True)
    victim = await case.victim()
    assert (victim.meta.deleting, victim.status.evicted) == (None, "")


async def test_an_eviction_of_a_claim_that_vanished_meanwhile_is_refused() -> None:
    case = await Preemption().begin()
    await case.remove(await case.victim())
    state, why = await case.verdict()
    assert (state, "there is no" in why) == (StepState.REJECTED, True)


async def test_a_claim_whose_deletion_was_not_heard_goes_on_as_if_never_evicted() -> None:
    case = await Preemption().begin()
    before = await case.victim()
    case.down.add("delete")
    assert await case.verdict() == (StepState.REJECTED, "the server does not answer")
    assert (await case.victim()).status == before.status


async def test_a_move_that_was_refused_reserves_nothing_for_the_claim() -> None:
    case = await Preemption().begin()
    victim = await case.victim()
    assert victim.status.allocation is not None
    move = Plan((Evict(victim.meta.uid, "", "moved"), Assign(victim.meta.uid, victim.status.allocation)))
    case.down.add("delete")
    verdicts = await case.cluster.apply(move)
    assert [state for state, _ in verdicts.values()] == [StepState.REJECTED, StepState.PROPOSED]
    assert (await case.victim()).status == victim.status


async def test_a_refused_eviction_is_told_even_where_it_cannot_be_undone() -> None:
    case = await Preemption().begin()
    desk = await case.desk()
    outcome = case.plan.outcomes[desk.meta.uid]
    assert isinstance(outcome, Placed)
    await case.change(desk, nomination=to_builtins(outcome.grant))
    await case.cluster.mirror.read()
    case.down.add("patch")
    assert await case.verdict() == (StepState.REJECTED, "the server does not answer")


async def test_an_eviction_stands_where_its_claim_is_gone_at_once() -> None:
    case = await Preemption().begin()
    victim = await case.victim()
    await case.cluster.control_plane.patch(victim, {"meta": {"finalizers": []}})
    await case.cluster.mirror.read()
    assert await case.verdict() == (StepState.ACCEPTED, "")
    assert victim.meta.uid not in [c.meta.uid for c in (await case.cluster.control_plane.list(Claim)).items]


async def test_nobody_is_evicted_for_room_that_could_not_be_nominated() -> None:
    case = await Preemption().begin()
    before = await case.victim()
    await case.change(await case.desk(), message="changed meanwhile")
    with pytest.raises(Conflict):
        await case.verdict()
    assert await case.victim() == before


# Assignments


async def test_a_claim_that_was_deleted_meanwhile_is_given_nothing() -> None:
    cluster, plan = await one_assignment()
    await cluster.control_plane.delete(await cluster.get("a"))
    await cluster.mirror.read()
    assert list((await cluster.apply(plan)).values()) == [(StepState.REJECTED, "it does not wait any more")]


async def test_a_claim_that_changed_meanwhile_is_given_nothing() -> None:
    cluster, plan = await one_assignment()
    await cluster.control_plane.patch(await cluster.get("a"), {"status": {"message": "changed meanwhile"}})
    ((state, why),) = (await cluster.apply(plan)).values()
    assert (state, "changed since it was read" in why) == (StepState.REJECTED, True)
    assert await cluster.places() == {}


async def test_one_assignment_that_fails_leaves_the_others_alone() -> None:
    cluster = Cluster()
    await three_trainings(cluster)
    plan = await planned(cluster)
    await cluster.control_plane.patch(await cluster.get("b"), {"status": {"message": "changed meanwhile"}})
    states = sorted(state for state, _ in (await cluster.apply(plan)).values())
    assert states == [StepState.ACCEPTED, StepState.ACCEPTED, StepState.REJECTED]
    assert set(await cluster.places()) == {"a", "c"}


async def test_nothing_is_given_on_a_node_that_is_not_ready_any_more() -> None:
    cluster, plan = await one_assignment()
    node = await cluster.control_plane.get(GpuNode, "node-a")
    await cluster.control_plane.patch(node, {"status": {"ready": False}})
    await cluster.mirror.read()
    assert list((await cluster.apply(plan)).values()) == [(StepState.REJECTED, "node node-a is not ready")]


async def test_nothing_is_given_on_a_node_that_was_cordoned_meanwhile() -> None:
    cluster, plan = await one_assignment()
    state = cluster.controller.observe()
    node = await cluster.control_plane.get(GpuNode, "node-a")
    await cluster.control_plane.patch(node, {"spec": {"cordoned": True}})
    await cluster.mirror.read()
    ((verdict, why),) = (await cluster.applier.apply(plan, state)).values()
    assert (verdict, why) == (StepState.REJECTED, "node node-a is cordoned")


async def test_nothing_is_given_that_another_claim_was_given_meanwhile() -> None:
    cluster, plan = await one_assignment()
    thief = await cluster.claim("thief", PROFILE_2G)
    (grant,) = (step.grant for step in plan.steps if isinstance(step, Assign))
    await cluster.control_plane.patch(thief, {"status": {"allocation": to_builtins(grant)}})
    await cluster.mirror.read()
    ((verdict, why),) = (await cluster.apply(plan)).values()
    assert (verdict, "are taken" in why) == (StepState.REJECTED, True)


@pytest.mark.parametrize(("gpus", "why"), [((a100(),), "are taken"), ((), "is no longer there")], ids=["same", "none"])
async def test_a_report_that_comes_while_a_plan_is_carried_out_counts_and_so_does_what_was_given(
    gpus: tuple[Gpu, ...], why: str
) -> None:
    """A claim is given its place, another one is evicted, a report comes, and a third is to have the same place."""
    server = Unreachable()
    cluster = Cluster(control_plane=server)
    await cluster.node(a100())
    await cluster.project()
    await cluster.claim("a", PROFILE_2G)
    await cluster.mirror.read()
    await cluster.controller.cycle(cluster.applier)
    for name in ("b", "c"):
        await cluster.claim(name, PROFILE_2G)
    plan = await planned(cluster)
    first, second = (step for step in plan.steps if isinstance(step, Assign))
    same_place = replace(second, grant=first.grant)
    steps = (first, Evict((await cluster.get("a")).meta.uid, "", "moved away"), same_place)

    async def report() -> None:
        node = await server.get(GpuNode, "node-a")
        newer = NodeReport("node-a", "boot", 2, gpus, {A100.id: A100})
        await server.patch(node, {"status": {"report": to_builtins(newer)}})
        await cluster.mirror.read()

    server.deleted = report
    verdicts = await cluster.apply(replace(plan, steps=steps))
    assert [state for _, (state, _) in sorted(verdicts.items())] == [
        StepState.ACCEPTED,
        StepState.ACCEPTED,
        StepState.REJECTED,
    ]
    assert why in verdicts[2][1]


async def test_nothing_is_given_of_a_gpu_that_is_not_there_any_more() -> None:
    cluster, plan = await one_assignment()
    node = await cluster.control_plane.get(GpuNode, "node-a")
    without = to_builtins(NodeReport("node-a", "boot", 2, (), {A100.id: A100}))
    await cluster.control_plane.patch(node, {"status": {"report": without}})
    await cluster.mirror.read()
    assert list((await cluster.apply(plan)).values()) == [(StepState.REJECTED, "GPU GPU-a is no longer there")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"mig": False}, "GPU GPU-a is not in MIG mode"),
        ({"fenced": "XID 79"}, "GPU GPU-a is fenced: XID 79"),
        ({"instances": (Instance("7g.40gb", 0, 8, InstanceState.FOREIGN),)}, "units 4 to 5 of GPU-a are taken"),
    ],
)
async def test_what_a_gpu_became_while_the_plan_was_made_is_seen(change: dict[str, Any], why: str) -> None:
    """The plan's state is older than the report: the last check looks at the newest object."""
    cluster, plan = await one_assignment()
    state = cluster.controller.observe()
    node = await cluster.control_plane.get(GpuNode, "node-a")
    report = NodeReport("node-a", "boot", 2, (replace(a100(), **change),), {A100.id: A100})
    await cluster.control_plane.patch(node, {"status": {"report": to_builtins(report)}})
    await cluster.mirror.read()
    ((verdict, said),) = (await cluster.applier.apply(plan, state)).values()
    assert (verdict, said) == (StepState.REJECTED, why)
