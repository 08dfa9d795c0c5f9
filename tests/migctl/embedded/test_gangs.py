"""Gangs of pods: lost members, grace and restart; pods that are moved."""

from __future__ import annotations

import pytest

from migctl.objects import Claim, GangSpec, Phase, Workload, to_builtins
from tests.migctl.embedded.conftest import GRANT, Machine

pytestmark = pytest.mark.anyio

FIRST_FAILS = "test $POD_INDEX = 0 && exit 3; exec sleep 1000"


async def started(machine: Machine, name: str, script: str, pods: int, size: int, **spec: object) -> list[Claim]:
    """A gang whose pods have all been given a place."""
    await machine.submit(name, "sh", "-c", script, parallelism=pods, gang=GangSpec(size), **spec)
    claims = await machine.claims_when(pods)
    return [await machine.allocate(claim) for claim in claims]


async def nudge(machine: Machine, name: str) -> Workload:
    """Make the controllers look again, for a clock that was moved."""
    workload = await machine.control_plane.get(Workload, name, "team-a")
    labels = {"looked": str(machine.clock())}
    return await machine.control_plane.patch(workload, {"meta": {"labels": labels}})


async def test_a_lost_member_restarts_the_whole_gang_after_a_grace(machine: Machine) -> None:
    async with machine.running():
        first = await started(machine, "gang", FIRST_FAILS, 3, 3)
        await machine.claims_when(1, Phase.FAILED)
        await machine.claims_when(2, Phase.RUNNING)
        machine.clock.advance(4.0)
        await nudge(machine, "gang")
        assert len(await machine.claims_when(2, Phase.RUNNING)) == 2
        machine.clock.advance(1.0)
        await nudge(machine, "gang")
        await machine.claims_when(0, Phase.RUNNING)
        machine.clock.advance(60.0)
        await nudge(machine, "gang")
        again = await machine.claims_when(3, Phase.PENDING)
        assert not {claim.meta.uid for claim in again} & {claim.meta.uid for claim in first}


async def test_a_gang_that_keeps_enough_members_replaces_the_lost_one_alone(machine: Machine) -> None:
    async with machine.running():
        first = await started(machine, "elastic", FIRST_FAILS, 3, 2)
        await machine.claims_when(1, Phase.FAILED)
        await machine.claims_when(2, Phase.RUNNING)
        machine.clock.advance(60.0)
        await nudge(machine, "elastic")
        (replaced,) = await machine.claims_when(1, Phase.PENDING)
        assert replaced.spec.index == 0
        running = {claim.meta.uid for claim in await machine.claims_when(2, Phase.RUNNING)}
        assert running < {claim.meta.uid for claim in first}


async def test_members_that_had_succeeded_run_again_with_a_gang_that_starts_anew(machine: Machine) -> None:
    async with machine.running():
        await started(machine, "gang", "test $POD_INDEX = 0 && exit 0; exit 4", 2, 2)
        await machine.claims_when(1, Phase.FAILED)
        machine.clock.advance(60.0)
        await nudge(machine, "gang")
        again = await machine.claims_when(2, Phase.PENDING)
        assert [claim.spec.index for claim in again] == [0, 1]


async def test_a_workload_that_failed_leaves_no_pod_behind(machine: Machine) -> None:
    async with machine.running():
        await started(machine, "gang", FIRST_FAILS, 3, 3, backoff_limit=0)
        await machine.workload_when("gang", Phase.FAILED)
        await machine.claims_when(0, Phase.RUNNING)


async def test_a_pod_that_is_moved_has_its_new_place_kept_and_starts_when_the_old_one_is_gone(
    machine: Machine,
) -> None:
    async with machine.running():
        await machine.submit("train", "sh", "-c", "trap '' TERM; sleep 1000 & wait; wait")
        (first,) = await machine.claims_when(1)
        await machine.allocate(first)
        (old,) = await machine.claims_when(1, Phase.RUNNING)
        old = await machine.control_plane.patch(old, {"status": {"nomination": to_builtins(GRANT), "evicted": "why"}})
        await machine.control_plane.delete(old)
        (new,) = await machine.claims_when(1, Phase.PENDING)
        assert new.status.nomination == GRANT
        await machine.allocate(new)
        (alone,) = await machine.claims_when(1)
        assert alone.meta.uid == new.meta.uid
        await machine.claims_when(1, Phase.RUNNING)
        assert machine.agent.calls == ["prepare train-0-0", "unprepare", "prepare train-0-1"]


async def test_retries_are_spread_and_grow(machine: Machine) -> None:
    from migctl.backoff import INITIAL_DELAY, MAX_DELAY, delay

    waits = [delay(n, "workload") for n in range(1, 20)]
    assert all(
        INITIAL_DELAY * 2 ** min(n, 16) / 2 < wait <= INITIAL_DELAY * 2 ** min(n, 16)
        for n, wait in enumerate(waits[:8])
    )
    assert all(MAX_DELAY / 2 < wait <= MAX_DELAY for wait in waits[9:])
    assert len({delay(5, f"workload-{i}") for i in range(20)}) == 20
    assert not delay(0, "workload")
