"""A workload that is told to stop, on a node that says nothing."""

from __future__ import annotations

import json

import pytest

from migctl.objects import Claim, GpuNode, GpuRequest
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import V100, Placed

KEPT = {"meta": {"finalizers": ["tests/agent"]}}


@pytest.fixture
def leaving(team: Cli) -> Cli:
    """Job is told to stop; its node is still ready."""
    gpu = scenes.gpu("node-x", 0, V100)

    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-x", gpu))
        workload = await scenes.workload(cluster, "job", GpuRequest(), Placed("node-x", (scenes.whole(gpu),)))
        await cluster.delete(await cluster.patch(workload, KEPT))
        await cluster.delete(await cluster.patch(await cluster.get(Claim, "job-0", "team-a"), KEPT))

    team.do(fill)
    return team


async def _not_ready(cluster: Cluster) -> None:
    node = await cluster.get(GpuNode, "node-x")
    await cluster.patch(node, {"status": {"ready": False, "message": "the driver does not answer"}})


async def _gone(cluster: Cluster) -> None:
    await cluster.delete(await cluster.get(GpuNode, "node-x"))


def test_why_and_describe_name_the_node_that_does_not_end_it_since_when_and_what_to_do(leaving: Cli) -> None:
    assert "waits" not in leaving.ok("why", "job").out
    leaving.do(_not_ready)
    leaving.clock.advance(240)
    for words in (("why", "job"), ("describe", "job")):
        out = " ".join(leaving.ok(*words).out.split())
        assert "pod job-0 waits since 2030-01-01 00:00:00 UTC (4m) for node node-x to end it" in out
        assert "the driver does not answer" in out
        assert "migctl node describe node-x" in out
    (reason,) = json.loads(leaving.ok("why", "job", "-o", "json").out)["reasons"]
    assert "for node node-x" in reason


def test_a_node_that_is_gone_is_named_too(leaving: Cli) -> None:
    leaving.do(_gone)
    assert "it is not there any more" in " ".join(leaving.ok("why", "job").out.split())
