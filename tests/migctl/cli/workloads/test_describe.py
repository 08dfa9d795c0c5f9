"""Everything about one workload."""

from __future__ import annotations

import json

import pytest

from migctl.objects import GpuRequest
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100, Placed


@pytest.fixture
def mem(team: Cli) -> Cli:
    gpu = scenes.gpu("node-b", 1, A100)

    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-b", gpu))
        placed = Placed("node-b", (scenes.mig_share(gpu, "2g.10gb", 2),), "9537 MiB -> 2g.10gb, 9856 MiB")
        await scenes.workload(cluster, "mem", GpuRequest(memory_mib=9537), placed)
        await scenes.event(cluster, "Workload/mem", "Placed", "node-b/1 2g.10gb@2")
        await scenes.event(cluster, "Workload/other", "Preempted", "for somebody", warning=True)

    team.do(fill)
    return team


def test_describe_tells_request_share_rounding_and_events(mem: Cli) -> None:
    out = mem.ok("describe", "job", "mem").out
    facts = dict(line.split(":", 1) for line in out.splitlines() if ":" in line and not line.startswith(" "))
    assert facts["Requested"].strip() == "9537 MiB"
    assert facts["Allocated"].strip() == "0.29 GPUs"
    assert facts["Type"].strip() == "training (preemptible, priority 50)"
    pod = next(line for line in out.splitlines() if "mem-0" in line)
    for part in ("Running", "node-b/1", "mig 2g.10gb at 2", "0.286", "9537 MiB -> 2g.10gb, 9856 MiB"):
        assert part in pod
    assert "Placed" in out
    assert "for somebody" not in out


def test_describe_takes_the_name_in_every_way(mem: Cli) -> None:
    assert mem.ok("describe", "mem").out == mem.ok("training", "describe", "mem").out
    assert mem.ok("describe", "workload/mem").out == mem.ok("describe", "mem", "-p", "team-a").out
    assert mem("describe", "one", "two", "three").code == 2
    assert mem("describe", "nobody").code == 3


def test_describe_for_machines(mem: Cli) -> None:
    body = json.loads(mem.ok("describe", "mem", "-o", "json").out)
    assert body["kind"] == "WorkloadDescription"
    assert body["workload"]["meta"]["name"] == "mem"
    assert body["pods"][0]["status"]["allocation"]["devices"][0]["profile"] == "2g.10gb"
    assert [event["spec"]["reason"] for event in body["events"]] == ["Placed"]
