"""Workloads into claims: counts, retries, suspension, deletion, statuses."""

from __future__ import annotations

import asyncio

import pytest

from migctl.embedded.kubelet.workloads import MOST_ENDED
from migctl.objects import Claim, Phase, Workload, WorkloadType, to_builtins
from tests.limits import WAIT_S
from tests.migctl.embedded.conftest import Machine

pytestmark = pytest.mark.anyio


async def test_a_training_becomes_one_pending_claim(machine: Machine) -> None:
    async with machine.running():
        workload = await machine.submit("train")
        (claim,) = await machine.claims_when(1)
        assert (claim.meta.name, claim.spec.gpu_request, claim.spec.workload_uid) == (
            "train-0-0",
            workload.spec.gpu_request,
            workload.meta.uid,
        )


async def test_a_pending_workload_says_what_its_claim_says(machine: Machine) -> None:
    async with machine.running():
        await machine.submit("train")
        (claim,) = await machine.claims_when(1)
        await machine.control_plane.patch(claim, {"status": {"reason": "no-free-gpu", "message": "all are taken"}})
        async with asyncio.timeout(WAIT_S):
            while (await machine.workload_when("train", Phase.PENDING)).status.message != "all are taken":
                await asyncio.sleep(0.01)


async def test_a_search_runs_so_many_side_by_side_and_each_index_once(machine: Machine) -> None:
    """E8: parallelism 3, completions 12: never more than 3 at a time, each index once."""
    indexes = machine.runs / "indexes"
    async with machine.running():
        await machine.submit(
            "search", "sh", "-c", f"echo $JOB_COMPLETION_INDEX >> {indexes}", parallelism=3, completions=12
        )
        most = 0
        async with asyncio.timeout(WAIT_S):
            while (await machine.control_plane.get(Workload, "search", "team-a")).status.phase is not Phase.COMPLETED:
                active = [c for c in await machine.claims() if not c.status.phase.finished]
                most = max(most, len(active))
                for claim in active:
                    if claim.status.allocation is None and claim.status.phase is Phase.PENDING:
                        await machine.allocate(claim)
                await asyncio.sleep(0.005)
        assert most == 3
        assert sorted(int(line) for line in indexes.read_text().split()) == list(range(12))


async def test_a_failing_pod_is_tried_again_later_each_time_until_the_limit(machine: Machine) -> None:
    async with machine.running():
        await machine.submit("broken", "false", backoff_limit=1)
        (first,) = await machine.claims_when(1)
        await machine.allocate(first)
        await machine.claims_when(1, Phase.FAILED)
        assert len(await machine.claims()) == 1
        async with asyncio.timeout(WAIT_S):
            while (waiting := await machine.workload_when("broken", Phase.PENDING)).status.reason != "BackOff":
                await asyncio.sleep(0.01)
        assert "exit code 1" in waiting.status.message
        machine.clock.advance(1.0)
        await machine.control_plane.patch(await machine.control_plane.get(Workload, "broken", "team-a"), {})
        _, second = await machine.claims_when(2)
        await machine.allocate(second)
        workload = await machine.workload_when("broken", Phase.FAILED)
        assert workload.status.reason == "BackoffLimitExceeded"
        assert "exit code 1" in workload.status.message
        assert workload.status.finished == machine.clock()


async def test_a_workspace_is_started_again_whenever_it_ends(machine: Machine) -> None:
    async with machine.running():
        await machine.submit("desk", "true", type=WorkloadType.WORKSPACE)
        (first,) = await machine.claims_when(1)
        await machine.allocate(first)
        await machine.claims_when(1, Phase.COMPLETED)
        machine.clock.advance(1.0)
        await machine.control_plane.patch(
            await machine.control_plane.get(Workload, "desk", "team-a"), {"meta": {"labels": {"x": "y"}}}
        )
        await machine.claims_when(1, Phase.PENDING)


async def test_a_workspace_whose_program_ends_at_once_says_that_it_is_started_again(machine: Machine) -> None:
    async with machine.running():
        await machine.submit("desk", "true", type=WorkloadType.WORKSPACE)
        (first,) = await machine.claims_when(1)
        await machine.allocate(first)
        async with asyncio.timeout(WAIT_S):
            while (waiting := await machine.workload_when("desk", Phase.PENDING)).status.reason != "BackOff":
                await asyncio.sleep(0.01)
        assert "exit code 0" in waiting.status.message


async def test_ended_pods_of_a_workspace_do_not_pile_up(machine: Machine) -> None:
    async with machine.running():
        desk = await machine.submit("desk", "sleep", "1000", type=WorkloadType.WORKSPACE)
        for attempt in range(1, MOST_ENDED + 4):
            (first,) = await machine.claims_when(1, Phase.PENDING)
            ended = {"phase": Phase.COMPLETED, "exitCode": 0, "finished": to_builtins(machine.clock())}
            await machine.control_plane.patch(first, {"status": ended})
            machine.clock.advance(400.0)
            await machine.control_plane.patch(desk, {"meta": {"labels": {"attempt": str(attempt)}}})
        await machine.claims_when(1, Phase.PENDING)
        kept = await machine.claims_when(MOST_ENDED, Phase.COMPLETED)
        assert min(claim.spec.attempt for claim in kept) == 3


async def test_a_workspace_that_ran_for_an_hour_is_started_again_at_once(machine: Machine) -> None:
    async with machine.running():
        desk = await machine.submit("desk", "sleep", "1000", type=WorkloadType.WORKSPACE)
        for ran_s in (0.0, 0.0, 0.0, 3600.0):
            (first,) = await machine.claims_when(1, Phase.PENDING)
            started = machine.clock()
            machine.clock.advance(ran_s)
            times = {"started": to_builtins(started), "finished": to_builtins(machine.clock())}
            await machine.control_plane.patch(first, {"status": {"phase": Phase.COMPLETED, "exitCode": 0, **times}})
            machine.clock.advance(1.0 if ran_s else 400.0)
            await machine.control_plane.patch(desk, {"meta": {"labels": {"ran": str(machine.clock())[-10:]}}})
        await machine.claims_when(1, Phase.PENDING)


async def test_suspending_stops_the_pods_and_resuming_starts_new_ones(machine: Machine) -> None:
    async with machine.running():
        workload = await machine.submit("train", "sleep", "1000")
        (first,) = await machine.claims_when(1)
        await machine.allocate(first)
        await machine.claims_when(1, Phase.RUNNING)
        await machine.control_plane.patch(workload, {"spec": {"suspended": True}})
        await machine.workload_when("train", Phase.SUSPENDED)
        assert (await machine.claims(), machine.agent.held) == ([], {})
        await machine.control_plane.patch(workload, {"spec": {"suspended": False}})
        (second,) = await machine.claims_when(1)
        assert second.meta.uid != first.meta.uid


async def test_an_evicted_pod_is_replaced_and_waits(machine: Machine) -> None:
    async with machine.running():
        await machine.submit("train", "sleep", "1000")
        (first,) = await machine.claims_when(1)
        await machine.allocate(first)
        await machine.claims_when(1, Phase.RUNNING)
        await machine.control_plane.patch(first, {"status": {"evicted": "for somebody"}})
        await machine.control_plane.delete(first)
        (second,) = await machine.claims_when(1, Phase.PENDING)
        assert second.meta.uid != first.meta.uid
        await machine.workload_when("train", Phase.PENDING)


async def test_deleting_a_workload_takes_its_claims_and_logs_along(machine: Machine) -> None:
    async with machine.running():
        workload = await machine.submit("train", "sleep", "1000")
        (claim,) = await machine.claims_when(1)
        await machine.allocate(claim)
        await machine.claims_when(1, Phase.RUNNING)
        assert (machine.runs / workload.meta.uid).exists()
        newest = await machine.control_plane.get(Workload, "train", "team-a")
        await machine.control_plane.delete(newest)
        await machine.claims_when(0)
        async with asyncio.timeout(WAIT_S):
            while (await machine.control_plane.list(Workload)).items or (machine.runs / workload.meta.uid).exists():
                await asyncio.sleep(0.01)
        assert machine.agent.held == {}


async def test_a_finished_workload_goes_when_its_time_to_live_is_over(machine: Machine) -> None:
    async with machine.running():
        await machine.submit("train", "true", ttl_after_finish_s=60.0)
        (claim,) = await machine.claims_when(1)
        await machine.allocate(claim)
        done = await machine.workload_when("train", Phase.COMPLETED)
        machine.clock.advance(61.0)
        await machine.control_plane.patch(done, {"meta": {"labels": {"x": "y"}}})
        async with asyncio.timeout(WAIT_S):
            while (await machine.control_plane.list(Workload)).items:
                await asyncio.sleep(0.01)
    assert await machine.claims() == []


async def test_claims_whose_workload_is_gone_are_removed(machine: Machine) -> None:
    workload = await machine.submit("train")
    async with machine.running():
        await machine.claims_when(1)
    bare = await machine.control_plane.get(Workload, "train", "team-a")
    await machine.control_plane.patch(bare, {"meta": {"finalizers": []}})
    await machine.control_plane.delete(workload)
    async with machine.running():
        await machine.claims_when(0)
    assert (await machine.control_plane.list(Claim)).items == ()
