"""What people apply, and what becomes of it: controller, agents and stand-ins together over real HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes import manifests
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_cluster.cluster import QUICK, FakeCluster
from tests.fakes.kubernetes_cluster.standin import condition

pytestmark = pytest.mark.anyio

HALF = {"gpu-fraction": "0.5"}
PLACED = "migctl.dev/Placed"
IMPATIENT = replace(QUICK, timeouts=replace(QUICK.timeouts, bind_s=0.1, give_up_s=3.0))


def running(cluster: FakeCluster, count: int, namespace: str = "team-a") -> bool:
    return sum(phase == "Running" for phase in cluster.phases(namespace).values()) == count


def waiting(cluster: FakeCluster, name: str, namespace: str = "team-a") -> dict[str, Any]:
    """The condition that says why the pod of a workload waits."""
    pod = next((p for p in cluster.pods(namespace) if p["metadata"]["name"].startswith(name)), None)
    return condition(pod, PLACED) if pod is not None else {}


def shares(cluster: FakeCluster, node: str = "node-a") -> list[tuple[str, str | None, int | None]]:
    held = cluster.agents[node].held.values()
    return sorted((s.gpu, s.profile, s.start) for allocation in held for s in allocation.devices)


async def test_two_fractions_share_a_gpu_and_a_third_waits_with_the_reason() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a", quota=1)
        for name in ("frac1", "frac2"):
            cluster.create("jobs", manifests.job(name, HALF), "team-a")
        await cluster.until(lambda: running(cluster, 2))
        assert {gpu for gpu, _, _ in shares(cluster)} == {"GPU-node-a-0"}
        cluster.create("jobs", manifests.job("frac3", HALF), "team-a")
        await cluster.until(lambda: waiting(cluster, "frac3").get("status") == "False")
        assert waiting(cluster, "frac3")["message"]
        cluster.delete("jobs", "frac1", "team-a")
        await cluster.until(lambda: running(cluster, 2) and len(list(cluster.pods("team-a"))) == 2)
        assert waiting(cluster, "frac3").get("status") != "False"


async def test_a_whole_gpu_job_of_another_scheduler_runs_and_completes() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.ends = lambda pod: 0
        cluster.create("jobs", manifests.job("train", gpus=1), "team-a")
        await cluster.until(lambda: condition(cluster.get("jobs", "train", "team-a") or {}, "Complete") != {})
        (pod,) = cluster.pods("team-a")
        assert pod["spec"]["schedulerName"] == "default-scheduler"
        assert "nvidia.com/gpu" not in pod["spec"]["containers"][0]["resources"].get("limits", {})
        await cluster.until(lambda: not list(cluster.operations.storage.all("resourceclaims")))
        assert not cluster.agents["node-a"].held


async def test_a_failing_job_is_retried_then_failed_and_its_gpu_is_free() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.ends = lambda pod: 1
        cluster.create("jobs", manifests.job("bad", gpus=1, backoffLimit=2), "team-a")
        await cluster.until(lambda: condition(cluster.get("jobs", "bad", "team-a") or {}, "Failed") != {})
        assert (cluster.get("jobs", "bad", "team-a") or {})["status"]["failed"] == 3
        await cluster.until(lambda: not cluster.agents["node-a"].held)


async def test_memory_and_profiles_become_instances_at_legal_starts() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a")
        cluster.create("jobs", manifests.job("mem", {"gpu-memory": "10GB"}), "team-a")
        await cluster.until(lambda: running(cluster, 1))
        for name in ("p1", "p2"):
            cluster.create("jobs", manifests.job(name, {"migctl.dev/mig-profile": "2g.10gb"}), "team-a")
        await cluster.until(lambda: running(cluster, 3))
        assert [(profile, start) for _, profile, start in shares(cluster)] == [
            ("2g.10gb", 0),
            ("2g.10gb", 2),
            ("2g.10gb", 4),
        ]


async def test_interactive_work_preempts_one_training_which_runs_again_when_there_is_room() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a", quota=2)
        for name in ("t1", "t2", "t3"):
            cluster.create("jobs", manifests.job(name, {"migctl.dev/mig-profile": "2g.10gb"}), "team-a")
        await cluster.until(lambda: running(cluster, 3))
        before = {p["metadata"]["name"]: p["metadata"]["uid"] for p in cluster.pods("team-a")}
        cluster.create("statefulsets", manifests.stateful_set("ws", {"migctl.dev/mig-profile": "3g.20gb"}), "team-a")
        await cluster.until(lambda: cluster.phases("team-a").get("ws-0") == "Running")
        kept = {p["metadata"]["uid"] for p in cluster.pods("team-a")} & set(before.values())
        assert len(kept) == 2
        assert ("GPU-node-a-0", "3g.20gb", 4) in shares(cluster)
        await cluster.until(lambda: len([p for p in cluster.phases("team-a").values() if p == "Pending"]) == 1)
        evicted = [e for e in cluster.operations.storage.all("events") if e["reason"] == "Preempted"]
        assert evicted
        cluster.delete("statefulsets", "ws", "team-a")
        await cluster.until(lambda: running(cluster, 3))


async def test_a_disruption_budget_is_respected_and_named() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a", quota=1)
        cluster.create("jobs", manifests.job("t1", gpus=1), "team-a")
        await cluster.until(lambda: running(cluster, 1))
        spec = {"selector": {"matchLabels": {"user": "ana"}}, "minAvailable": 1}
        budget = {"metadata": {"name": "keep"}, "spec": spec}
        cluster.create("poddisruptionbudgets", budget, "team-a", status={"disruptionsAllowed": 0})
        cluster.create("statefulsets", manifests.stateful_set("ws", gpus=1), "team-a")
        await cluster.until(lambda: waiting(cluster, "ws").get("status") == "False")
        assert running(cluster, 1)
        cluster.delete("poddisruptionbudgets", "keep", "team-a")
        await cluster.until(lambda: cluster.phases("team-a").get("ws-0") == "Running")


async def test_what_kube_scheduler_cannot_bind_is_taken_back_and_placed_elsewhere() -> None:
    async with FakeCluster().running() as cluster, cluster.controller(settings=IMPATIENT):
        await cluster.node("node-a", "v100")
        await cluster.node("node-b", "v100")
        await cluster.project("team-a")
        scheduler = cluster.scheduler
        scheduler.refuses = lambda node, pod: "node(s) had volume node affinity conflict" if node == "node-a" else ""
        cluster.create("jobs", manifests.job("j1", gpus=1), "team-a")
        cluster.create("jobs", manifests.job("j2", gpus=1), "team-a")
        await cluster.until(lambda: running(cluster, 1))
        assert [p["spec"]["nodeName"] for p in cluster.pods("team-a") if "nodeName" in p["spec"]] == ["node-b"]
        await cluster.until(lambda: any(_waits_for_node(p) for p in cluster.pods("team-a")))


def _waits_for_node(pod: dict[str, Any]) -> bool:
    return "node-a" in pod["metadata"].get("annotations", {}).get("migctl.dev/excluded", "")


async def test_taints_selectors_affinity_and_cpu_narrow_the_choice() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", taints=[{"key": "dedicated", "value": "x", "effect": "NoSchedule"}])
        await cluster.node("node-b", "v100", cpu="2")
        await cluster.node("node-c", "v100", labels={"disk": "ssd"})
        await cluster.project("team-a")
        wanted = {
            "big": (manifests.job("big", HALF, requests={"cpu": "8"}), "node-c"),
            "tolerant": (
                manifests.job(
                    "tolerant",
                    {"gpu-memory": "16000"},
                    tolerations=[{"key": "dedicated", "operator": "Exists"}],
                    affinity=_not_in("node-b", "node-c"),
                ),
                "node-a",
            ),
            "ssd": (manifests.job("ssd", HALF, nodeSelector={"disk": "ssd"}), "node-c"),
            "rest": (manifests.job("rest", gpus=1), "node-b"),
        }
        for job, _ in wanted.values():
            cluster.create("jobs", job, "team-a")
        await cluster.until(lambda: running(cluster, 4))
        placed = {p["metadata"]["name"].rsplit("-", 1)[0]: p["spec"]["nodeName"] for p in cluster.pods("team-a")}
        assert placed == {name: node for name, (_, node) in wanted.items()}


def _not_in(*hostnames: str) -> dict[str, Any]:
    expression = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": list(hostnames)}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


async def test_a_gang_starts_when_all_of_it_has_a_place() -> None:
    gang = {"migctl.dev/gang-size": "3"}
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", "v100")
        await cluster.project("team-a")
        spec = manifests.job("gang", gang, gpus=1, parallelism=3, completions=3)
        cluster.create("jobs", spec, "team-a")
        await cluster.until(lambda: waiting(cluster, "gang").get("status") == "False")
        assert all(p["spec"].get("schedulingGates") for p in cluster.pods("team-a"))
        assert not any("allocation" in c["status"] for c in cluster.operations.storage.all("resourceclaims"))
        await cluster.node("node-b", "v100")
        await cluster.until(lambda: running(cluster, 3))


def _catalog(cluster: FakeCluster) -> str:
    found = cluster.get("configmaps", "migctl-catalog", "migctl-system") or {}
    return str(found.get("data", {}).get("migProfiles", ""))


@pytest.mark.parametrize(
    ("annotations", "fields", "said"),
    [
        ({"gpu-fraction": "1.2"}, {}, "not a part of a GPU"),
        ({"gpu-fraction": "0"}, {}, "not a part of a GPU"),
        ({"gpu-fraction": "abc"}, {}, "not a part of a GPU"),
        (HALF, {"gpus": 1}, "exclude each other"),
        ({"migctl.dev/mig-profile": "9g.99gb"}, {}, "1g.5gb"),
    ],
)
async def test_bad_requests_are_refused_at_admission(
    annotations: dict[str, str], fields: dict[str, Any], said: str
) -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a")
        await cluster.until(lambda: bool(_catalog(cluster)))
        with pytest.raises(Refused, match=said):
            cluster.create("jobs", manifests.job("bad", annotations, **fields), "team-a")
        with pytest.raises(Refused, match="no migctl project"):
            cluster.create("jobs", manifests.job("bad", HALF), "default")
        assert not list(cluster.operations.storage.all("jobs"))


async def test_a_profile_waits_where_only_nodes_without_mig_are_free() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.create("pods", manifests.pod("p", {"migctl.dev/mig-profile": "2g.10gb"}), "team-a")
        await cluster.until(lambda: waiting(cluster, "p").get("status") == "False")
        assert waiting(cluster, "p")["message"]


async def test_a_grace_period_of_zero_does_not_free_a_device_that_is_still_used() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        agent = await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.create("pods", manifests.pod("first", gpus=1), "team-a")
        await cluster.until(lambda: running(cluster, 1))
        held = set(agent.held)
        agent.up = False
        cluster.delete("pods", "first", "team-a", gracePeriodSeconds=0)
        await cluster.until(lambda: not list(cluster.pods("team-a")))
        cluster.create("pods", manifests.pod("second", gpus=1), "team-a")
        await cluster.until(lambda: waiting(cluster, "second").get("status") == "False")
        assert set(agent.held) == held
        agent.up = True
        await cluster.kubelets["node-a"].look_again()
        await cluster.until(lambda: running(cluster, 1))


async def test_a_namespace_that_was_there_before_is_not_taken_over() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        cluster.create("namespaces", {"metadata": {"name": "theirs"}})
        cluster.create("projects", {"metadata": {"name": "theirs"}, "spec": {}})
        await cluster.until(lambda: condition(cluster.get("projects", "theirs") or {}, "Ready") != {})
        ready = condition(cluster.get("projects", "theirs") or {}, "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "NamespaceTaken")
        assert "kubectl label" in ready["message"]
        assert cluster.get("resourceclaimtemplates", "migctl-gpu", "theirs") is None


async def test_deleting_a_project_takes_its_namespace_along() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.create("jobs", manifests.job("j", HALF), "team-a")
        await cluster.until(lambda: running(cluster, 1))
        cluster.delete("projects", "team-a")
        await cluster.until(lambda: cluster.get("namespaces", "team-a") is None)


async def test_an_agent_that_could_not_prepare_is_asked_again_at_once() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        agent = await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        agent.broken = "NVML says no"
        cluster.create("jobs", manifests.job("j", gpus=1), "team-a")
        await cluster.until(lambda: cluster.kubelets["node-a"].attempts >= 2)
        agent.broken = ""
        await cluster.until(lambda: running(cluster, 1))


async def test_an_agent_that_never_manages_loses_the_pod_to_another_node() -> None:
    async with FakeCluster().running() as cluster, cluster.controller(settings=IMPATIENT):
        agent = await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        agent.broken = "NVML says no"
        cluster.create("jobs", manifests.job("j", gpus=1), "team-a")
        await cluster.until(lambda: any("nodeName" in p["spec"] for p in cluster.pods("team-a")))
        stuck = {p["metadata"]["uid"] for p in cluster.pods("team-a")}
        await cluster.until(lambda: {p["metadata"]["uid"] for p in cluster.pods("team-a")} - stuck != set())
        agent.broken = ""
        await cluster.until(lambda: running(cluster, 1))
