"""The verdict equals what then happens, where nothing else changes: replayed submissions on random clusters.

`make soak-verdicts` replays 10,000 of them.
"""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from migctl.backends.protocol import ControlPlaneError
from migctl.objects import Claim, PlanPlace, Prospect, VerdictPlace, Workload, WorkloadVerdict
from solver.model.demand import Grant
from solver.model.plan import Evict, Plan
from tests.depth import THOROUGH
from tests.migctl.verdicts.world import RandomWorld

pytestmark = pytest.mark.anyio
CLUSTERS, EACH = (200, 62) if THOROUGH else (20, 30)


@pytest.mark.parametrize("block", range(10))
async def test_the_verdict_is_what_then_happens(block: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(block, CLUSTERS, 10):
        world = RandomWorld(Random(seed))
        await world.begin()
        for _ in range(EACH):
            seen[await _submitted(world)] += 1
            await world.work()
            if world.rng.random() < 0.7:
                await world.decide()
                await world.work()
            await world.end_some()
    print(f"REPLAYED {dict(seen)}")
    assert seen.total() == EACH * len(range(block, CLUSTERS, 10))
    assert min(seen[Prospect.STARTS], seen[Prospect.WAITS]) > 0


async def _submitted(world: RandomWorld) -> str:
    """Ask, submit, decide, compare; what it was."""
    world.clock.advance(world.rng.choice([1.0, 1.0, 20.0, 90.0]))
    await world.see()
    workload = world.workload()
    before = await _versions(world)
    try:
        verdict = await world.verdicts(workload)
    except ControlPlaneError as error:
        with pytest.raises(type(error), match=f"^{re.escape(str(error))}$"):
            await world.door.create(workload)
        return "refused"
    assert await _versions(world) == before, "a verdict writes nothing"
    await world.door.create(workload)
    await world.see()
    plan = await world.decide()
    assert plan is not None
    claims = [c for c in (await world.store.list(Claim)).items if c.spec.workload == workload.meta.name]
    _compare(verdict, claims, plan)
    await _carried_out(world, verdict)
    return verdict.prospect


def _compare(verdict: WorkloadVerdict, claims: list[Claim], plan: Plan) -> None:
    """Places, evictions, and the reasons of those that wait."""
    holding = [claim.status.allocation or claim.status.nomination for claim in claims]
    placed = Counter((grant.node, grant.devices) for grant in holding if grant is not None)
    told = Counter((grant.node, grant.devices) for grant in map(_grant, verdict.places))
    assert told == placed, verdict
    assert verdict.pods == len(claims)
    assert verdict.starting == sum(claim.status.allocation is not None for claim in claims), verdict
    assert verdict.making_room == sum(claim.status.nomination is not None for claim in claims), verdict
    uids = {claim.meta.uid for claim in claims}
    evicted = {step.claim for step in plan.steps if isinstance(step, Evict) and step.beneficiary in uids}
    assert {eviction.claim for eviction in verdict.evictions} == evicted
    waiting = Counter(c.status.reason for c, grant in zip(claims, holding, strict=True) if grant is None)
    codes = Counter[str]()
    for reason in verdict.reasons:
        codes[reason.code] += reason.pods
    assert codes == waiting


def _grant(place: VerdictPlace) -> Grant:
    return PlanPlace(node=place.node, devices=place.devices).grant()


async def _carried_out(world: RandomWorld, verdict: WorkloadVerdict) -> None:
    """Those it would stop are stopped, and what moves has its place kept."""
    stored = {claim.meta.uid: claim for claim in (await world.store.list(Claim)).items}
    for eviction in verdict.evictions:
        victim = stored[eviction.claim]
        assert victim.meta.deleting is not None
        assert bool(eviction.moves_to) == (victim.status.nomination is not None)


async def _versions(world: RandomWorld) -> list[str]:
    return [(await world.store.list(Claim)).version, (await world.store.list(Workload)).version]
