"""What a claim is called in metrics and events, and the number of a priority class."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from migctl.backends.kubernetes.client.resources import EVENTS
from migctl.backends.kubernetes.stores import event_store
from migctl.backends.kubernetes.stores.event_recorder import Subject
from migctl.controller.kubernetes import probes
from migctl.objects import Claim
from tests.fakes import manifests
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.users import ADMIN
from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.fakes.kubernetes_cluster.standin import condition

pytestmark = pytest.mark.anyio


async def test_metrics_say_whose_a_claim_is_and_where() -> None:
    """They knew claims by uid only, which no person knows."""
    async with FakeCluster().running() as cluster, cluster.controller() as controller:
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.create("jobs", manifests.job("train", gpus=1), "team-a")
        await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
        (pod,) = cluster.phases("team-a")
        (claim,) = cluster.operations.storage.all("resourceclaims")
        await cluster.until(
            lambda: (
                (found := controller.cluster.get(Claim, pod, "team-a")) is not None
                and found.status.phase.value == "Running"
            )
        )
        async with probes.serving(controller, "127.0.0.1", 0) as port, httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        labels = {"claim": claim["metadata"]["uid"], "node": "node-a", "phase": "Running", "pod": pod}
        labels |= {"project": "team-a", "workload": "train"}
        said = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        line = next(line for line in text.splitlines() if line.startswith("migctl_claim_info"))
        assert ",".join(sorted(line[len("migctl_claim_info{") : -len("} 1.0")].split(","))) == said


async def test_events_of_a_deployments_pods_are_the_deployments() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.create("deployments", manifests.deployment("serve", gpus=1), "team-a")
        events = cluster.operations.storage.all

        def about() -> set[str]:
            return {f"{e['involvedObject']['kind']}/{e['involvedObject']['name']}" for e in events("events")}

        await cluster.until(lambda: "Deployment/serve" in about())
        assert not any(name.startswith("ReplicaSet/") for name in about())


async def test_an_event_says_whose_it_is_by_uid_and_how_often() -> None:
    async with FakeCluster().running() as cluster, cluster.controller() as controller:
        await cluster.project("team-a")
        for _ in range(3):
            controller.recorder.record(Subject("Job", "train", "team-a", "u1", "batch/v1"), "Again", "the same words")
        events = cluster.operations.storage.all
        await cluster.until(lambda: any(e.get("count") == 3 for e in events("events")))
        raw = next(e for e in events("events") if e["reason"] == "Again")
        event = event_store.read(
            EVENTS.one.decode(
                cluster.operations.storage.section("events").objects["team-a", raw["metadata"]["name"]].json
            )
        )
        assert (event.spec.about, event.spec.uid, event.spec.count) == ("Workload/train", "u1", 3)
        assert event.spec.message == "the same words"
        assert event.spec.last is not None


@pytest.mark.parametrize(
    ("name", "number", "priority", "preemptible"),
    [("urgent", 90, 90, True), ("critical", 1000, 1000, False), ("train", 60, 60, True), ("", 0, 50, True)],
)
async def test_the_number_of_a_priority_class_decides(name: str, number: int, priority: int, preemptible: bool) -> None:
    """Classes were known by four names; with any other the type decided."""
    async with FakeCluster().running() as cluster, cluster.controller() as controller:
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        job = manifests.job("j", gpus=1, priority=number, priorityClassName=name)
        cluster.create("jobs", job, "team-a")
        await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
        (pod,) = cluster.phases("team-a")
        found = controller.cluster.get(Claim, pod, "team-a")
        assert found is not None
        assert (found.spec.priority, found.spec.preemptible) == (priority, preemptible)


async def test_a_pod_that_another_gate_holds_back_has_a_condition_and_no_gpu() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        gates = [{"name": "kueue.x-k8s.io/admission"}]
        cluster.create("pods", manifests.pod("queued", gpus=1, schedulingGates=gates), "team-a")

        def placed() -> dict[str, Any]:
            return condition(cluster.get("pods", "queued", "team-a") or {}, "migctl.dev/Placed")

        await cluster.until(lambda: placed().get("status") == "False")
        assert placed()["reason"] == "other-gates"
        assert "kueue.x-k8s.io/admission" in placed()["message"]
        cluster.create("pods", manifests.pod("other", gpus=1), "team-a")
        await cluster.until(lambda: cluster.phases("team-a")["other"] == "Running")
        cluster.delete("pods", "other", "team-a")
        lifted = [{"op": "remove", "path": "/spec/schedulingGates/0"}]
        cluster.operations.patch(ADMIN, BY_PLURAL["pods"], "team-a", "queued", lifted, "application/json-patch+json")
        await cluster.until(lambda: cluster.phases("team-a")["queued"] == "Running")
        assert placed()["status"] == "True"
