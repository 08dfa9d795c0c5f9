"""`node describe`: all that is known of a node."""

from __future__ import annotations

import json

import msgspec
import pytest

from migctl.objects import DynamicMig, GpuRequest, NodeSpec
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100, V100, Placed


@pytest.fixture
def busy(team: Cli) -> Cli:
    first = scenes.gpu("node-a", 0, A100)
    fenced = scenes.gpu("node-a", 1, V100, fenced="XID 79: it has fallen off the bus")

    async def fill(cluster: Cluster) -> None:
        node = scenes.node("node-a", first, fenced, notes={"GPU-node-a-0": "process 7 belongs to no claim"})
        waiting = DynamicMig(wanted=False, outcome="pending", message="GPU 0: waits for a GPU reset")
        done = {"GPU-node-a-0": DynamicMig(wanted=True, outcome="done")}
        status = msgspec.structs.replace(node.status, dynamic_mig=waiting, gpu_dynamic_mig=done)
        wishes = NodeSpec(dynamic_mig=False, gpu_dynamic_mig={"GPU-node-a-0": True, "GPU-gone": True})
        await cluster.create(msgspec.structs.replace(node, spec=wishes, status=status))
        await cluster.create(scenes.node("node-b", scenes.gpu("node-b", 0, V100)))
        await scenes.workload(
            cluster, "slice", GpuRequest(), Placed("node-a", (scenes.mig_share(first, "2g.10gb", 0),))
        )
        await scenes.event(cluster, "Node/node-a", "GpuFenced", "GPU node-a/1: XID 79", warning=True, project="")
        await scenes.event(cluster, "Node/node-b", "NodeReady", "its agent's reports", project="")

    team.do(fill)
    return team


def test_a_node_its_gpus_its_work_and_its_events(busy: Cli) -> None:
    shown = busy.ok("node", "describe", "node/node-a")
    for said in (
        "Dynamic MIG:               off, pending: GPU 0: waits for a GPU reset",
        "Dynamic MIG of GPU-gone:   on: the agent has not answered yet",
        "Dynamic MIG of node-a/0:   on\n",
        "fenced: XID 79: it has fallen off the bus",
        "team-a/slice",
        "mig 2g.10gb at 0",
        "process 7 belongs to no claim",
        "GpuFenced",
    ):
        assert said in shown.out
    assert "NodeReady" not in shown.out


def test_the_same_for_machines(busy: Cli) -> None:
    found = json.loads(busy.ok("node", "describe", "node-a", "-o", "json").out)
    assert (found["kind"], found["workloads"]) == ("NodeDescription", ["team-a/slice"])
    assert [event["spec"]["reason"] for event in found["events"]] == ["GpuFenced"]
    assert busy.ok("node", "describe", "node-a", "-o", "name").out == "node/node-a\n"
    assert busy("node", "describe", "nobody").code == 3
