"""Why no node takes a pod is said in the words that are known: selector, affinity, taint, kube-scheduler's own."""

from __future__ import annotations

from typing import Any

import pytest

from migctl.clock import system_clock
from migctl.controller.kubernetes.claims.pod_patches import LONGEST_MESSAGE
from tests.fakes import manifests
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_api.users import ADMIN
from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.fakes.kubernetes_cluster.standin import MERGE, condition
from tests.migctl.controller.kubernetes.test_cluster_day import IMPATIENT

pytestmark = pytest.mark.anyio


def said(cluster: FakeCluster) -> str:
    return str(condition(cluster.get("pods", "p", "team-a") or {}, "migctl.dev/Placed").get("message", ""))


def affinity(key: str) -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": key, "operator": "Exists"}]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


@pytest.mark.parametrize(
    ("fields", "taints", "words"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, [], "node-a: its labels do not match the nodeSelector disk=ssd"),
        ({"affinity": affinity("zone")}, [], "node-a: its labels do not match the node affinity"),
        ({}, [{"key": "dedicated", "effect": "NoSchedule"}], "node-a: its taint dedicated is not tolerated"),
    ],
    ids=["selector", "affinity", "taint"],
)
async def test_what_keeps_a_pod_off_a_node_is_named(fields: dict[str, Any], taints: list[Any], words: str) -> None:
    """It was "refused it a short while ago", whatever the reason."""
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", taints=taints)
        await cluster.project("team-a")
        cluster.create("pods", manifests.pod("p", gpus=1, **fields), "team-a")
        await cluster.until(lambda: words in said(cluster))


async def test_a_cordoned_node_says_so_and_takes_only_what_tolerates_it() -> None:
    """As kubectl cordon does it; Kubernetes adds the taint, and both are the same reason."""
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    async with FakeCluster().running() as cluster, cluster.controller() as controller:
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        closed = {"spec": {"unschedulable": True, "taints": [taint]}}
        cluster.operations.patch(ADMIN, BY_PLURAL["nodes"], "", "node-a", closed, MERGE)
        await cluster.until(lambda: any(node.cordoned for node in controller.observe(system_clock()).nodes))
        cluster.create("pods", manifests.pod("p", gpus=1), "team-a")
        await cluster.until(lambda: said(cluster) == "no node may run it: node-a is cordoned")
        tolerating = manifests.pod("q", {"gpu-fraction": "0.5"}, tolerations=[{**taint, "operator": "Exists"}])
        cluster.create("pods", tolerating, "team-a")
        await cluster.until(lambda: cluster.phases("team-a") == {"p": "Pending", "q": "Running"})
        assert "cordoned" in said(cluster)
        cluster.delete("pods", "q", "team-a")
        opened: Json = {"spec": {"unschedulable": None, "taints": []}}
        cluster.operations.patch(ADMIN, BY_PLURAL["nodes"], "", "node-a", opened, MERGE)
        await cluster.until(lambda: cluster.phases("team-a") == {"p": "Running"})


async def test_nothing_is_moved_to_a_node_that_would_refuse_it() -> None:
    async with FakeCluster().running() as cluster, cluster.controller() as controller:
        await cluster.node("node-a", "v100", labels={"disk": "ssd"})
        await cluster.node("node-b", "v100")
        await cluster.project("team-a")
        cluster.create("pods", manifests.pod("here", gpus=1, nodeSelector={"disk": "ssd"}), "team-a")
        await cluster.until(lambda: cluster.phases("team-a") == {"here": "Running"})
        cluster.create("pods", manifests.pod("p", gpus=2), "team-a")
        await cluster.until(lambda: "on one node" in said(cluster))
        (held,) = controller.observe(system_clock()).held
        assert held.request.excluded == {"node-b"}


async def test_what_kube_scheduler_said_is_said_on() -> None:
    async with FakeCluster().running() as cluster, cluster.controller(settings=IMPATIENT):
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.scheduler.refuses = lambda node, pod: "node(s) had volume node affinity conflict"
        cluster.create("pods", manifests.pod("p", gpus=1), "team-a")
        await cluster.until(lambda: "no node may run it" in said(cluster))
        assert "node-a: kube-scheduler refused it: " in said(cluster)
        assert "volume node affinity conflict" in said(cluster)


async def test_a_reason_too_long_for_a_condition_is_written_once() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        for number in range(4):
            await cluster.node(f"node-{number}", "v100")
        await cluster.project("team-a")
        selector = {f"example.com/{number}": "x" * 63 for number in range(10)}
        cluster.create("pods", manifests.pod("p", gpus=1, nodeSelector=selector), "team-a")
        await cluster.until(lambda: len(said(cluster)) == LONGEST_MESSAGE)
        version = (cluster.get("pods", "p", "team-a") or {})["metadata"]["resourceVersion"]
        for number in range(5):
            name = f"later-{number}"
            cluster.create("pods", manifests.pod(name, {"gpu-fraction": "0.1"}), "team-a")
            await cluster.until(lambda name=name: cluster.phases("team-a").get(name) == "Running")  # type: ignore[misc]
        assert (cluster.get("pods", "p", "team-a") or {})["metadata"]["resourceVersion"] == version
