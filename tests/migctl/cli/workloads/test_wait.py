"""Waiting for a workload, watching it, and why it waits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import pytest
from _pytest.capture import CaptureIO

from migctl.objects import Claim, GpuNode, GpuRequest, Meta, Phase, PlacementPlan, PlanOutcome, PlanSpec, Workload
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import V100, Placed


@pytest.fixture
def waiting(team: Cli) -> Cli:
    """Two halves of a V100 are held, a third waits; the newest plan says by whom."""
    gpu = scenes.gpu("node-a", 0, V100)

    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-a", gpu))
        placed = Placed("node-a", (scenes.software_share(gpu, 0.5),))
        await scenes.workload(cluster, "first", GpuRequest(fraction=0.5), placed)
        await scenes.workload(cluster, "second", GpuRequest(fraction=0.5), placed)
        message = "no GPU has 0.5 GPU free; the nearest place is held by first"
        await scenes.workload(cluster, "third", GpuRequest(fraction=0.5), reason="no-free-gpu", message=message)
        claims = {claim.spec.workload: claim.meta.uid for claim in (await cluster.list(Claim)).items}
        outcome = PlanOutcome(claims["third"], "team-a/third", False, message, blockers=(claims["first"],))
        await cluster.create(
            PlacementPlan(meta=Meta(name="plan-1"), spec=PlanSpec(outcomes=(outcome,), method="online"))
        )

    team.do(fill)
    return team


def meanwhile(cli: Cli, act: Callable[[Cluster], Awaitable[object]]) -> None:
    """Do something as soon as the next command line watches."""
    watch = cli.cluster.watch
    done: list[asyncio.Task[object]] = []

    def watching(kind: type[Workload], since: str) -> object:
        if not done:
            done.append(asyncio.ensure_future(act(cli.cluster)))
        return watch(kind, since)

    cli.cluster.watch = watching  # type: ignore[method-assign, assignment]


async def printed(text: str, times: int = 1) -> None:
    """Wait until the command line has printed something so often."""
    out = sys.stdout
    assert isinstance(out, CaptureIO)
    while out.getvalue().count(text) < times:
        await asyncio.sleep(0.01)


async def becomes(cluster: Cluster, name: str, phase: Phase) -> None:
    workload = await cluster.get(Workload, name, "team-a")
    await cluster.patch(workload, {"status": {"phase": phase.value, "message": "it ended"}})


def test_waiting_for_what_is_so_already(waiting: Cli) -> None:
    assert waiting.ok("wait", "first").out == "workload first is Running\n"
    assert waiting.ok("wait", "job", "first", "--for=condition=Running", "--timeout=0").code == 0


def test_waiting_until_it_comes(waiting: Cli) -> None:
    meanwhile(waiting, lambda cluster: becomes(cluster, "third", Phase.COMPLETED))
    assert waiting.ok("wait", "third", "--for", "condition=complete").out == "workload third is Completed\n"


def test_waiting_for_the_deletion(waiting: Cli) -> None:
    async def delete(cluster: Cluster) -> None:
        await cluster.delete(await cluster.get(Workload, "third", "team-a"))

    meanwhile(waiting, delete)
    assert waiting.ok("wait", "third", "--for=delete").out == "workload third is gone\n"


def test_what_cannot_come_any_more_ends_the_wait(waiting: Cli) -> None:
    meanwhile(waiting, lambda cluster: becomes(cluster, "third", Phase.FAILED))
    result = waiting("wait", "third")
    assert result.code == 1
    assert result.err.startswith("error: workload third is Failed and will not be Running\ncause: it ended\n")


def test_a_wait_that_takes_too_long_says_why(waiting: Cli) -> None:
    result = waiting("wait", "third", "--timeout", "0.05s")
    assert result.code == 124
    assert "cause: it is Pending: no GPU has 0.5 GPU free" in result.err
    assert "hint: migctl why third" in result.err


@pytest.mark.parametrize("wanted", ["condition=Sleeping", "weather=Running", "deleted"])
def test_a_condition_that_is_none(waiting: Cli, wanted: str) -> None:
    assert waiting("wait", "third", f"--for={wanted}").code == 2


def test_why_names_the_reason_and_who_is_in_the_way(waiting: Cli) -> None:
    result = waiting.ok("why", "third")
    assert "third is Pending" in result.lines[0]
    assert "it asks for 0.50 GPU" in result.lines[0]
    assert result.lines[1].startswith(
        "  no-free-gpu: no GPU has 0.5 GPU free: GPU node-a/0 has 0 free; first (0.5 GPU)"
    )
    assert result.lines[2] == "Decided by plan-1 0s ago (online: placed as it came, without a bound)"
    blocker = next(line for line in result.lines if "team-a/first" in line)
    assert "node-a/0" in blocker
    assert "team-a/second" not in result.out


def test_why_of_what_runs_says_what_it_holds(waiting: Cli) -> None:
    result = waiting.ok("why", "first")
    assert result.lines[0].startswith("first is Running")
    assert "node-a/0" in result.out


def test_why_for_machines(waiting: Cli) -> None:
    body = json.loads(waiting.ok("why", "third", "-o", "json").out)
    assert [blocker["workload"] for blocker in body["blockers"]] == ["first"]
    assert body["plan"] == "plan-1"
    assert json.loads(waiting.ok("why", "first", "-o", "json").out)["blockers"] == []


def test_watching_prints_what_changes_until_it_is_interrupted(waiting: Cli) -> None:
    async def change(cluster: Cluster) -> None:
        await printed("third")
        await becomes(cluster, "third", Phase.RUNNING)
        await printed("third", times=2)
        os.kill(os.getpid(), signal.SIGINT)

    meanwhile(waiting, change)
    result = waiting("list", "-w")
    assert result.code == 130
    assert [line.split()[:2] for line in result.lines] == [
        ["Showing", "jobs"],
        ["NAME", "STATUS"],
        ["first", "Running"],
        ["second", "Running"],
        ["third", "Pending"],
        ["third", "Running"],
    ]
    assert "Traceback" not in result.err


def test_watching_the_map_off_a_terminal_prints_it_again(waiting: Cli) -> None:
    async def change(cluster: Cluster) -> None:
        await printed("node-a/0")
        node = await cluster.get(GpuNode, "node-a")
        await cluster.patch(node, {"status": {"ready": False}})
        await printed("node not ready")
        os.kill(os.getpid(), signal.SIGINT)

    meanwhile(waiting, change)
    result = waiting("gpus", "-w")
    assert result.code == 130
    assert ["node not ready" in line for line in result.lines if line.startswith("node-a/0")] == [False, True]
