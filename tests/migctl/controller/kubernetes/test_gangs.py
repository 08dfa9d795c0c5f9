"""Gangs whose members come and go: rollouts, last members, members that never come. Planner and gates agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes import manifests
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_cluster.cluster import QUICK, FakeCluster
from tests.fakes.kubernetes_cluster.standin import condition

pytestmark = pytest.mark.anyio

IMPATIENT = replace(QUICK, timeouts=replace(QUICK.timeouts, bind_s=0.1))
PAIR = {"migctl.dev/gang-size": "2"}


def running(cluster: FakeCluster) -> set[str]:
    return {name for name, phase in cluster.phases("team-a").items() if phase == "Running"}


def placed(cluster: FakeCluster) -> int:
    return sum("allocation" in claim["status"] for claim in cluster.operations.storage.all("resourceclaims"))


def waits(cluster: FakeCluster, name: str) -> Json:
    pod = cluster.get("pods", name, "team-a")
    return condition(pod, "migctl.dev/Placed") if pod is not None else {}


def member(name: str, replica_set: str, **fields: Any) -> Json:
    """A pod that a ReplicaSet of the Deployment "serve" made."""
    pod = manifests.pod(name, PAIR, **fields)
    pod["metadata"]["labels"] = {"pod-template-hash": replica_set, "app": "serve"}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"serve-{replica_set}", "controller": True}
    pod["metadata"]["ownerReferences"] = [{**owner, "uid": f"uid-{replica_set}"}]
    return pod


async def test_in_a_rollout_the_new_pod_joins_the_members_that_run() -> None:
    """It was allocated behind a gate that never opened: planner and gates knew the gang by different names."""
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", "v100", "v100")
        await cluster.project("team-a")
        for name in ("old-0", "old-1"):
            cluster.create("pods", member(name, "old", gpus=1), "team-a")
        await cluster.until(lambda: running(cluster) == {"old-0", "old-1"})
        cluster.create("pods", member("new-0", "new", gpus=1), "team-a")
        await cluster.until(lambda: running(cluster) == {"old-0", "old-1", "new-0"})


async def test_gangs_of_one_label_and_different_owners_do_not_start_each_other() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", "v100")
        await cluster.project("team-a")
        for name in ("one", "two"):
            pod = member(name, name, gpus=1)
            pod["metadata"]["labels"] = {"migctl.dev/workload": "same"}
            pod["metadata"]["ownerReferences"][0] |= {"kind": "PyTorchJob", "name": name}
            cluster.create("pods", pod, "team-a")
        await cluster.until(lambda: all(waits(cluster, name).get("status") == "False" for name in ("one", "two")))
        assert not placed(cluster)
        assert "gang" in waits(cluster, "one")["message"]


async def test_the_last_member_of_a_job_does_not_wait_for_pods_that_never_come() -> None:
    """Parallelism 2, completions 3, a gang of 2: the third pod is alone, and the Job never ended."""
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", "v100")
        await cluster.project("team-a")
        cluster.create("jobs", manifests.job("gang", PAIR, gpus=1, parallelism=2, completions=3), "team-a")
        await cluster.until(lambda: len(running(cluster)) == 2)
        for name in running(cluster):
            await cluster.kubelets["node-a"].finish(cluster.get("pods", name, "team-a") or {}, 0)
        await cluster.until(lambda: len(running(cluster)) == 1)
        (last,) = running(cluster)
        await cluster.kubelets["node-a"].finish(cluster.get("pods", last, "team-a") or {}, 0)
        await cluster.until(lambda: condition(cluster.get("jobs", "gang", "team-a") or {}, "Complete") != {})


async def test_the_second_half_of_a_job_starts_together_as_the_first_did() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", "v100")
        await cluster.project("team-a")
        cluster.create("jobs", manifests.job("gang", PAIR, gpus=1, parallelism=2, completions=4), "team-a")
        await cluster.until(lambda: len(running(cluster)) == 2)
        first = running(cluster)
        cluster.create("statefulsets", manifests.stateful_set("ws", gpus=1), "team-a")
        await cluster.until(lambda: waits(cluster, "ws-0").get("status") == "False" or "ws-0" in running(cluster))
        for name in first:
            pod = cluster.get("pods", name, "team-a")
            if pod is not None:
                await cluster.kubelets["node-a"].finish(pod, 0)
        await cluster.until(lambda: "ws-0" in running(cluster))
        cluster.delete("statefulsets", "ws", "team-a")
        await cluster.until(lambda: len(running(cluster) - first) == 2)


async def test_what_is_allocated_behind_a_gate_that_stays_closed_is_taken_back_with_a_reason() -> None:
    async with FakeCluster().running() as cluster:
        async with cluster.controller():
            await cluster.node("node-a", "v100", "v100")
            await cluster.project("team-a")
            for name in ("one", "two"):
                cluster.create("pods", member(name, "rs", gpus=1), "team-a")
            await cluster.until(lambda: len(running(cluster)) == 2)
        grant = next(cluster.operations.storage.all("resourceclaims"))["status"]["allocation"]
        cluster.delete("pods", "one", "team-a")
        cluster.delete("pods", "two", "team-a")
        await cluster.until(lambda: not list(cluster.pods("team-a")) and not placed(cluster))
        cluster.create("pods", member("alone", "rs", gpus=1), "team-a")
        await cluster.until(lambda: bool(list(cluster.operations.storage.all("resourceclaims"))))
        cluster.allocate(next(cluster.operations.storage.all("resourceclaims")), grant)
        async with cluster.controller(settings=IMPATIENT):
            await cluster.until(lambda: waits(cluster, "alone").get("status") == "False")
            assert not placed(cluster)
            await cluster.until(lambda: "gang" in waits(cluster, "alone").get("message", ""))
