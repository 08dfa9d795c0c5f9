"""Proposals carried out by the controller: whole or not at all, in turn with its decisions, once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import cast

import pytest
from msgspec.structs import replace as changed

from migctl.cli.contexts.control import Control
from migctl.cli.failures import Failure
from migctl.cli.plans import carrying_out
from migctl.controller import proposals
from migctl.controller.proposal_reconciler import ProposalReconciler
from migctl.controller.proposals import check, proposal, put_back
from migctl.objects import APPLY_LABEL, REQUESTED, Claim, Event, PlacementPlan, PlanPlace
from solver.model.demand import Grant
from solver.relocate import relocate
from tests.migctl.controller.driven import PROFILE_2G, Cluster, a100

pytestmark = pytest.mark.anyio

WANTED = {"meta": {"labels": {APPLY_LABEL: REQUESTED}}}


async def running(cluster: Cluster, *names: str) -> None:
    second = replace(a100(), uuid="GPU-b", index=1)
    await cluster.node(a100(), second)
    await cluster.project(quota=-1.0)
    for name in names:
        await cluster.claim(name, PROFILE_2G)
    await cluster.converge()


def elsewhere(grant: Grant, start: int = 4) -> Grant:
    return Grant(grant.node, tuple(replace(share, gpu="GPU-b", start=start) for share in grant.devices))


async def kept(cluster: Cluster, *names: str) -> PlacementPlan:
    """A proposal that moves these to the second GPU."""
    state, moves = cluster.controller.observe(), {}
    for number, name in enumerate(names):
        claim = await cluster.get(name)
        assert claim.status.allocation is not None
        moves[claim.meta.uid] = elsewhere(claim.status.allocation, 2 * number)
    decided = relocate(state, moves, "").plan
    made = proposal(state, cluster.mirror.all(Claim), decided, "for a test")
    return await cluster.control_plane.create(made)


async def applied(cluster: Cluster, plan: PlacementPlan) -> PlacementPlan:
    """The plan once the controller has answered."""
    wanted = await cluster.control_plane.patch(plan, WANTED)
    await ProposalReconciler(cluster.controller, cluster.control_plane).reconcile(wanted)
    return await cluster.control_plane.get(PlacementPlan, plan.meta.name)


async def test_a_proposal_is_carried_out_and_told() -> None:
    cluster = Cluster()
    async with cluster.watching():
        await running(cluster, "a", "b")
        plan = await kept(cluster, "a")
        assert plan.phase == "Proposed"
        answer = await applied(cluster, plan)
        moved = await cluster.get("a")
        events = (await cluster.control_plane.list(Event)).items
    assert (answer.phase, answer.status.message) == ("Applied", "")
    assert moved.meta.deleting is not None
    assert moved.status.nomination is not None
    assert moved.status.nomination.devices[0].gpu == "GPU-b"
    assert any(e.spec.reason == "Moved" and plan.meta.name in e.spec.message for e in events)


async def test_nothing_is_done_half() -> None:
    """One of two may not be moved any more: the other stays, too."""
    cluster = Cluster()
    async with cluster.watching():
        await running(cluster, "a", "b")
        plan = await kept(cluster, "a", "b")
        gone = await cluster.get("b")
        await cluster.control_plane.delete(gone)
        await asyncio.sleep(0)
        answer = await applied(cluster, plan)
        assert (await cluster.get("a")).meta.deleting is None
    assert answer.phase == "Rejected"
    assert answer.status.message == "team-a/b: it is stopping"


async def test_what_was_applied_is_not_applied_again() -> None:
    cluster = Cluster()
    async with cluster.watching():
        await running(cluster, "a")
        plan = await kept(cluster, "a")
        first = await applied(cluster, plan)
        assert await applied(cluster, first) == await cluster.control_plane.get(PlacementPlan, plan.meta.name)


async def test_a_controller_that_died_after_moving_says_that_it_moved() -> None:
    """The status was not written: the next controller finds the move under way, which is what was wanted."""
    cluster = Cluster()
    async with cluster.watching():
        await running(cluster, "a")
        plan = await kept(cluster, "a")
        await applied(cluster, plan)
        forgotten = await cluster.control_plane.get(PlacementPlan, plan.meta.name)
        again = await cluster.control_plane.patch(forgotten, {"status": None})
        assert (await applied(cluster, again)).phase == "Applied"


async def test_only_what_is_requested_is_followed_and_applied() -> None:
    cluster = Cluster()
    async with cluster.watching():
        await running(cluster, "a", "b")
        first, second = await kept(cluster, "a"), await kept(cluster, "b")
        await cluster.control_plane.patch(first, WANTED)
        following = asyncio.create_task(ProposalReconciler(cluster.controller, cluster.control_plane).run())

        async def phase(plan: PlacementPlan) -> str:
            return (await cluster.control_plane.get(PlacementPlan, plan.meta.name)).phase

        while await phase(first) != "Applied":
            await asyncio.sleep(0.001)
        assert await phase(second) == "Proposed"
        await cluster.control_plane.patch(second, WANTED)
        while await phase(second) == "Proposed":
            await asyncio.sleep(0.001)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def test_a_forged_place_is_refused() -> None:
    """Whoever may write plans writes what he likes: a move gives nobody more than he asked for."""
    cluster = Cluster()
    async with cluster.watching():
        await running(cluster, "a")
        plan = await kept(cluster, "a")
        (move,) = plan.spec.moves
        assert move.after is not None
        for forged in ({"profile": "7g.40gb", "start": 0, "size": 8}, {"portion": 0.0}, {"gpu": "GPU-none"}):
            place = PlanPlace(node=move.after.node, devices=(changed(move.after.devices[0], **forged),))
            lie = changed(plan, spec=changed(plan.spec, moves=(changed(move, after=place),)))
            assert check(lie, cluster.controller.observe(), cluster.mirror.all(Claim)).obstacles


async def test_decisions_remember_what_they_moved() -> None:
    """A preempted pod had a place and has none; a placed one had none."""
    cluster = Cluster()
    async with cluster.watching():
        await running(cluster, "a")
        (plan,) = (await cluster.control_plane.list(PlacementPlan)).items
        (move,) = plan.spec.moves
        claim = await cluster.get("a")
        assert (move.name, move.before, move.claim) == ("team-a/a", None, claim.meta.uid)
        assert move.after is not None
        assert move.after.grant() == claim.status.allocation
        found, stays = put_back(plan, cluster.controller.observe(), cluster.mirror.all(Claim))
    assert not found.plan.steps
    assert stays[0][1].startswith("the plan gave it its first place")


async def test_moves_that_do_not_fit_into_one_plan_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored decision lists what fits; a proposal that lost some of its moves would be another one."""
    monkeypatch.setattr(proposals, "MOST_SHARES", 3)
    cluster = Cluster()
    async with cluster.watching():
        await running(cluster, "a", "b")
        assert len((await kept(cluster, "a", "b")).spec.moves) == 1
        state, claims = cluster.controller.observe(), cluster.mirror.all(Claim)
        wanted = {
            c.meta.uid: elsewhere(c.status.allocation, 2 * i) for i, c in enumerate(claims) if c.status.allocation
        }
        decided = relocate(state, wanted, "").plan
        with pytest.raises(Failure, match="2 moves are too many for one plan"):
            await carrying_out.keep(cast(Control, cluster.control_plane), state, claims, decided, "")
