"""What waits on a real cluster, and what it is told: gangs, and what keeps a pod from a node."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.harness import Harness
from tests.cluster.workloads import FOREVER, job

pytestmark = pytest.mark.anyio


def gang(cluster: Harness, name: str, size: int) -> dict[str, Any]:
    annotations = {"migctl.dev/gang-size": str(size)}
    return job(name, cluster.place.image, annotations, gpus=1, parallelism=size, completions=size)


async def test_a_gang_starts_together_or_not_at_all(cluster: Harness) -> None:
    await cluster.start_agent("v100=3")
    project = await cluster.project("team-a", quota=3)
    await cluster.create("jobs", project, job("one", cluster.place.image, gpus=1))
    await cluster.running(project, "one")
    await cluster.create("jobs", project, gang(cluster, "three", 3))

    async def all_wait() -> bool:
        pods = [p for p in await cluster.all("pods", project) if p["metadata"]["name"].startswith("three")]
        said = [c for p in pods for c in p["status"].get("conditions", []) if c["type"] == "migctl.dev/Placed"]
        return len(pods) == len(said) == 3 and all(c["status"] == "False" for c in said)

    await cluster.until(all_wait)
    await cluster.create("jobs", project, gang(cluster, "two", 2))
    await cluster.until(lambda: _running(cluster, project, "two", 2))
    assert not await _running(cluster, project, "three", 1)
    for name in ("one", "two"):
        await cluster.delete("jobs", project, name)
    await cluster.until(lambda: _running(cluster, project, "three", 3))


async def _running(cluster: Harness, project: str, workload: str, count: int) -> bool:
    pods = [p for p in await cluster.all("pods", project) if p["metadata"]["name"].startswith(workload)]
    return [p["status"].get("phase") for p in pods].count("Running") >= count


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"nodeSelector": {"disk": "nowhere"}}, "nodeSelector disk=nowhere"),
        ({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "gone"}}]}, 'claim "gone" not found'),
    ],
    ids=["selector", "volume"],
)
async def test_what_keeps_a_pod_from_a_node_is_named(cluster: Harness, spec: dict[str, Any], said: str) -> None:
    """kube-scheduler's own reason was lost: "refused it a short while ago" stood in its place."""
    await cluster.start_agent("v100=1")
    project = await cluster.project("team-a", quota=1)
    made = job("held", cluster.place.image, gpus=1)
    made["spec"]["template"]["spec"] |= spec
    await cluster.create("jobs", project, made)

    async def told() -> bool:
        return said in await cluster.waits_with(project, "held")

    await cluster.until(told)


async def test_a_preempted_job_is_not_failed_and_comes_back(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    lender = await cluster.project("team-a", quota=0)
    owner = await cluster.project("team-b", quota=1)
    await cluster.create("jobs", lender, job("guest", cluster.place.image, gpus=1, script=FOREVER, backoffLimit=0))
    await cluster.running(lender, "guest")
    await cluster.create("jobs", owner, job("host", cluster.place.image, gpus=1, script="sleep 3"))
    await cluster.running(owner, "host")
    await cluster.running(lender, "guest")
    found = await cluster.find("jobs", "guest", lender) or {}
    assert not any(c["type"] in ("Failed", "FailureTarget") for c in found["status"].get("conditions", []))
