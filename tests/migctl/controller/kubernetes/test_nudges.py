"""What is written on a pod on its way to where it runs: its gate is opened once, kubelet is seldom told to try again.

A bound pod that is not prepared is annotated so that kubelet tries again: by a back-off, and only what it tried.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from migctl.controller.kubernetes.claims.placed_pods import PlacementTimeouts
from migctl.objects import GpuNode
from tests.fakes import manifests
from tests.fakes.kubernetes_cluster.cluster import QUICK, FakeCluster
from tests.limits import WAIT_S

pytestmark = pytest.mark.anyio

NUDGED = "migctl.dev/nudged"
LATE = replace(QUICK, timeouts=replace(QUICK.timeouts, nudge_s=WAIT_S, longest_nudge_s=WAIT_S))
EAGER = replace(QUICK, timeouts=PlacementTimeouts(bind_s=WAIT_S, give_up_s=WAIT_S, nudge_s=0.0, look_again_s=0.01))


def nudges(cluster: FakeCluster) -> int:
    """How often a pod was annotated."""
    log = cluster.operations.storage.section("pods").log
    found = (entry.stored.object["metadata"].get("annotations", {}).get(NUDGED) for entry in log)
    return len({text for text in found if text})


def bound(cluster: FakeCluster) -> bool:
    return any("nodeName" in pod["spec"] for pod in cluster.pods("team-a"))


async def test_no_report_of_an_agent_annotates_a_pod_before_its_time() -> None:
    """Every report annotated every waiting pod: 13 patches a pod where the kubelet was behind."""
    async with FakeCluster().running() as cluster, cluster.controller(settings=LATE) as controller:
        agent = await cluster.node("node-a", "v100")
        await cluster.node("node-b", "v100")
        await cluster.project("team-a")
        agent.broken = "NVML says no"
        cluster.create("pods", manifests.pod("p", gpus=1, nodeSelector={"kubernetes.io/hostname": "node-a"}), "team-a")
        await cluster.until(lambda: cluster.kubelets["node-a"].attempts >= 1)
        for number in range(5):
            agent.changed()
            generation = agent.report().generation

            def seen(generation: int = generation) -> bool:
                node = controller.cluster.get(GpuNode, "node-a")
                return (
                    node is not None
                    and node.status.report is not None
                    and (node.status.report.generation == generation)
                )

            await cluster.until(seen)
            cluster.create("pods", manifests.pod(f"other-{number}", {"gpu-fraction": "0.1"}), "team-a")
            await cluster.until(lambda number=number: cluster.phases("team-a").get(f"other-{number}") == "Running")  # type: ignore[misc]
        assert nudges(cluster) == 0


async def test_a_pod_that_kubelet_has_not_come_to_is_left_alone() -> None:
    async with FakeCluster().running() as cluster, cluster.controller(settings=EAGER):
        await cluster.node("node-a", "v100")
        await cluster.node("node-b", "v100")
        await cluster.project("team-a")
        cluster.kubelets["node-a"].alive = False
        cluster.create("pods", manifests.pod("p", gpus=1, nodeSelector={"kubernetes.io/hostname": "node-a"}), "team-a")
        await cluster.until(lambda: bound(cluster))
        cluster.create("pods", manifests.pod("other", gpus=1), "team-a")
        await cluster.until(lambda: cluster.phases("team-a").get("other") == "Running")
        assert nudges(cluster) == 0


async def test_a_pod_that_finds_a_place_is_written_once() -> None:
    """Two parts of the controller opened a gate at the same moment: half of all pods were written twice."""
    names = [f"p{number}" for number in range(20)]
    async with FakeCluster().running() as cluster, cluster.controller(settings=LATE):
        await cluster.node("node-a", "v100", "v100")
        await cluster.project("team-a")
        for name in names:
            cluster.create("pods", manifests.pod(name, {"gpu-fraction": "0.1"}), "team-a")
        await cluster.until(lambda: all(cluster.phases("team-a").get(name) == "Running" for name in names))
        written = Counter(call.path for call in cluster.server.faults.calls if call.method == "PATCH")
        assert {name: written[f"/api/v1/namespaces/team-a/pods/{name}"] for name in names} == dict.fromkeys(names, 1)
