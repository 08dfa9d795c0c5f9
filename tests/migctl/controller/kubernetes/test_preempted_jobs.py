"""A Job whose pod was preempted lives on, however it was written, and its own failures still count."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import manifests
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.fakes.kubernetes_cluster.standin import condition

pytestmark = pytest.mark.anyio

ON_42 = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
ON_KILLED = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [137, 143]}}
DISRUPTED = {"type": "DisruptionTarget", "status": "True"}
COUNTED = {"action": "Count", "onPodConditions": [DISRUPTED]}
OURS = {"action": "Ignore", "onPodConditions": [DISRUPTED]}
WRITTEN = {
    "never": ({}, []),
    "on failure": ({"restartPolicy": "OnFailure"}, []),
    "exit code": ({}, [ON_42]),
    "killed": ({}, [ON_KILLED]),
    "counted": ({}, [COUNTED]),
    "after another": ({}, [ON_KILLED, OURS]),
    "as ours": ({}, [OURS, ON_42]),
}


def job(fields: dict[str, Any], rules: list[Json]) -> Json:
    made = manifests.job("train", gpus=1, backoffLimit=0, **fields)
    if rules:
        made["spec"]["podFailurePolicy"] = {"rules": rules}
    return made


def stored(cluster: FakeCluster) -> Json:
    return cluster.get("jobs", "train", "team-a") or {}


@pytest.mark.parametrize(("fields", "rules"), WRITTEN.values(), ids=WRITTEN)
async def test_a_preemption_never_counts_as_the_programs_failure(fields: dict[str, Any], rules: list[Json]) -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a", quota=1)
        cluster.create("jobs", job(fields, rules), "team-a")
        await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
        cluster.create("statefulsets", manifests.stateful_set("ws", gpus=1), "team-a")
        await cluster.until(lambda: cluster.phases("team-a").get("ws-0") == "Running")
        cluster.delete("statefulsets", "ws", "team-a")
        await cluster.until(lambda: list(cluster.phases("team-a").values()).count("Running") == 1)
        assert stored(cluster)["status"]["failed"] == 0
        assert not condition(stored(cluster), "Failed")
        kept = [rule for rule in stored(cluster)["spec"]["podFailurePolicy"]["rules"] if rule != OURS]
        assert kept == [rule for rule in rules if rule != OURS]


@pytest.mark.parametrize(("fields", "rules"), [WRITTEN["on failure"], WRITTEN["exit code"]], ids=["limit", "rule"])
async def test_its_own_failure_still_counts(fields: dict[str, Any], rules: list[Json]) -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.ends = lambda pod: 42
        cluster.create("jobs", job(fields, rules), "team-a")
        await cluster.until(lambda: condition(stored(cluster), "Failed") != {})
        expected = "PodFailurePolicy" if rules else "BackoffLimitExceeded"
        assert condition(stored(cluster), "Failed")["reason"] == expected
