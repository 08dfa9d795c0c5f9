"""What admins do with nodes of a cluster, and what others may see of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from migctl.clock import system_clock
from migctl.controller.kubernetes.process import KubernetesController
from migctl.objects import NodePool
from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.migctl.cli.kubernetes.command_line import Person, person

pytestmark = pytest.mark.anyio

SLEEP = ("-i", "busybox", "--", "sleep", "infinity")


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    with capture_logs():
        async with FakeCluster().running() as made:
            yield made


@pytest.fixture
async def controller(cluster: FakeCluster) -> AsyncIterator[KubernetesController]:
    """The controller of a V100 on each of two nodes, and of team-a."""
    async with cluster.controller() as made:
        for name in ("node-a", "node-b"):
            await cluster.node(name, "v100")
        await cluster.project("team-a", quota=2)
        yield made


@pytest.fixture
def admin(cluster: FakeCluster, tmp_path: Path) -> Person:
    return person(cluster, tmp_path, "admin")


@pytest.fixture
def ana(cluster: FakeCluster, tmp_path: Path) -> Person:
    return person(cluster, tmp_path)


def unschedulable(cluster: FakeCluster) -> set[str]:
    nodes = {name: cluster.get("nodes", name) or {} for name in ("node-a", "node-b")}
    return {name for name, node in nodes.items() if node["spec"].get("unschedulable")}


async def test_an_admin_cordons_kubernetes_own_node_and_work_goes_elsewhere(
    cluster: FakeCluster, controller: KubernetesController, admin: Person, ana: Person
) -> None:
    assert (await admin.ok("node", "cordon", "node-a")).out == "node node-a cordoned\n"
    assert unschedulable(cluster) == {"node-a"}
    assert "Ready,Cordoned" in (await admin.ok("node", "list")).out
    assert (await admin.ok("node", "cordon", "node-a")).out == "node node-a already cordoned\n"
    await cluster.until(lambda: any(node.cordoned for node in controller.observe(system_clock()).nodes))
    await ana.ok("submit", "here", "-g", "1", *SLEEP)
    await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
    assert [pod["spec"]["nodeName"] for pod in cluster.pods("team-a")] == ["node-b"]
    await ana.ok("submit", "later", "-g", "1", *SLEEP)
    await cluster.until(lambda: any("cordoned" in json.dumps(pod["status"]) for pod in cluster.pods("team-a")))
    assert "node-a could serve it and is cordoned" in (await admin.ok("why", "later", "-p", "team-a")).out
    assert (await admin.ok("node", "uncordon", "node-a")).out == "node node-a uncordoned\n"
    await cluster.until(lambda: list(cluster.phases("team-a").values()) == ["Running", "Running"])


async def test_who_may_not_change_nodes_is_told_so(
    cluster: FakeCluster, controller: KubernetesController, ana: Person
) -> None:
    refused = await ana("node", "cordon", "node-a")
    assert (refused.code, "may not" in refused.err) == (6, True)
    assert unschedulable(cluster) == set()
    assert "kubectl create clusterrolebinding NAME --clusterrole=migctl-admin --user=ana" in refused.err


async def test_the_role_migctl_admin_is_enough_to_run_nodes(
    cluster: FakeCluster, controller: KubernetesController, tmp_path: Path, ana: Person
) -> None:
    """Nothing of any namespace is theirs: events of a node could not be read."""
    cluster.operations.authorizer.let_run_gpus("gil")
    gil = person(cluster, tmp_path, "gil", "nowhere")
    await ana.ok("submit", "train", "-g", "1", *SLEEP)
    await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
    (pod,) = cluster.pods("team-a")
    node = pod["spec"]["nodeName"]
    assert node in (await gil.ok("node", "list")).out
    assert "Latest events:" in (await gil.ok("node", "describe", node)).out
    assert "team-a/train" in (await gil.ok("node", "drain", node, "--dry-run")).out
    assert (await gil.ok("node", "cordon", node)).out == f"node {node} cordoned\n"
    assert (await gil.ok("node", "uncordon", node)).out == f"node {node} uncordoned\n"
    await gil.ok("node-pool", "create", "fast", "--label", "disk=ssd")
    await gil.ok("project", "update", "team-a", "--quota", "1")
    assert "team-a" in (await gil.ok("project", "list")).out


async def test_a_drain_evicts_and_waits_for_a_disruption_budget(
    cluster: FakeCluster, controller: KubernetesController, admin: Person, ana: Person
) -> None:
    await ana.ok("submit", "train", "-g", "1", *SLEEP)
    await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
    (pod,) = cluster.pods("team-a")
    node, label = pod["spec"]["nodeName"], {"job-name": "train"}
    assert label.items() <= pod["metadata"]["labels"].items()
    budget = {"metadata": {"name": "keep"}, "spec": {"selector": {"matchLabels": label}, "maxUnavailable": 0}}
    cluster.create("poddisruptionbudgets", budget, "team-a", {"disruptionsAllowed": 0})
    late = await admin("node", "drain", node, "--yes", "--timeout", "2s")
    assert (late.code, unschedulable(cluster)) == (124, {node})
    assert "team-a/train still there (team-a/train: " in late.err
    cluster.delete("poddisruptionbudgets", "keep", "team-a")
    done = await admin.ok("node", "drain", node, "--yes")
    assert done.out.endswith(f"team-a/train has left\nnode {node} drained\n")
    other = {"node-a": "node-b", "node-b": "node-a"}[node]
    await cluster.until(lambda: [p["spec"].get("nodeName") for p in cluster.pods("team-a")] == [other])
    refused = await ana("node", "drain", other, "--yes")
    assert (refused.code, unschedulable(cluster)) == (6, {node})


async def test_a_pool_of_labelled_nodes_takes_what_names_it(
    cluster: FakeCluster, controller: KubernetesController, admin: Person, ana: Person
) -> None:
    await admin.ok("node-pool", "create", "fast", "--label", "disk=ssd")
    refused = await admin("node", "set", "node-b", "--label", "disk=ssd")
    assert (refused.code, "kubectl label node NODE disk=ssd" in refused.err) == (2, True)
    cluster.relabel("nodes", "node-b", "disk", "ssd")
    await cluster.until(lambda: "fast" in json.dumps(cluster.get("configmaps", "migctl-catalog", "migctl-system")))
    await cluster.until(lambda: {n.name: n.pool for n in controller.observe(system_clock()).nodes}["node-b"] == "fast")
    assert "fast" in (await admin.ok("node", "list")).out
    await ana.ok("submit", "train", "-g", "0.5", "--node-pools", "fast", *SLEEP)
    await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
    assert [pod["spec"]["nodeName"] for pod in cluster.pods("team-a")] == ["node-b"]
    forbidden = await ana("node-pool", "create", "mine")
    assert (forbidden.code, "migctl-admin" in forbidden.err) == (6, True)


async def test_the_memory_rule_is_the_node_pools(
    cluster: FakeCluster, controller: KubernetesController, admin: Person, ana: Person
) -> None:
    await cluster.node("node-c", "a100-40gb")
    await admin.ok("node-pool", "set", "default", "--memory-rule", "least-compute")
    await cluster.until(lambda: controller.cluster.all(NodePool) != ())
    await cluster.until(lambda: "node-c" in {node.name for node in controller.observe(system_clock()).nodes})
    assert "least-compute" in (await admin.ok("node-pool", "list")).out
    await ana.ok("submit", "train", "--gpu-memory", "10GB", "--gpu-model", "A100-40GB", *SLEEP)
    await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
    assert "1g.10gb" in (await ana.ok("describe", "train")).out


async def test_spread_is_per_node_pool(
    cluster: FakeCluster, controller: KubernetesController, admin: Person, ana: Person
) -> None:
    await admin.ok("node-pool", "set", "default", "--placement", "spread")
    await cluster.until(lambda: controller.cluster.all(NodePool) != ())
    for name in ("one", "two"):
        await ana.ok("submit", name, "-g", "0.5", *SLEEP)
    await cluster.until(lambda: list(cluster.phases("team-a").values()) == ["Running", "Running"])
    assert {pod["spec"]["nodeName"] for pod in cluster.pods("team-a")} == {"node-a", "node-b"}
