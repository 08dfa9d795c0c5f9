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
    assert mem("describe", "mem", "two", "three").code == 3
    assert mem("logs", "mem", "two").code == 2
    assert mem("describe", "nobody").code == 3


def test_describe_for_machines(mem: Cli) -> None:
    body = json.loads(mem.ok("describe", "mem", "-o", "json").out)
    assert body["kind"] == "WorkloadDescription"
    assert body["workload"]["meta"]["name"] == "mem"
    assert body["pods"][0]["status"]["allocation"]["devices"][0]["profile"] == "2g.10gb"
    assert [event["spec"]["reason"] for event in body["events"]] == ["Placed"]


def test_several_are_described_and_explained_one_after_another(team: Cli) -> None:
    for name in ("one", "two"):
        team.do(lambda cluster, name=name: scenes.workload(cluster, name, GpuRequest(fraction=0.5)))  # type: ignore[misc]
    lines = team.ok("describe", "one", "two").lines
    assert [line.split()[1] for line in lines if line.startswith("Name:")] == ["one", "two"]
    assert [line.split()[0] for line in team.ok("why", "two", "one").lines if " is Pending" in line] == ["two", "one"]
    described = json.loads(team.ok("describe", "one", "two", "-o", "json").out)
    assert described["kind"] == "WorkloadDescriptionList"
    assert [item["workload"]["meta"]["name"] for item in described["items"]] == ["one", "two"]
    assert team("describe", "one", "three").code == 3
