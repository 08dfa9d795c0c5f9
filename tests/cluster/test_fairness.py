"""Over-quota, fair shares and bin-packing on one node with four GPUs (acceptance C)."""

from __future__ import annotations

import pytest

from tests.cluster.harness import Harness
from tests.cluster.workloads import job

pytestmark = pytest.mark.anyio


async def submit(cluster: Harness, project: str, name: str, gpus: int) -> None:
    await cluster.create("jobs", project, job(name, cluster.place.image, gpus=gpus))


async def test_c1_to_c9_a_project_over_its_quota_gives_back_what_another_may_have(cluster: Harness) -> None:
    await cluster.start_agent("v100=4")
    a = await cluster.project("team-a", quota=2)
    b = await cluster.project("team-b", quota=2)
    await submit(cluster, a, "a2", 2)
    await cluster.running(a, "a2")
    await submit(cluster, a, "a1", 1)
    await submit(cluster, b, "b1", 1)
    await cluster.running(a, "a1")
    await cluster.running(b, "b1")

    async def three_of_two() -> bool:
        found = await cluster.find("projects", a) or {}
        return bool(found.get("status", {}).get("allocated") == 3)

    await cluster.until(three_of_two)
    kept = {name: await _uid(cluster, p, name) for p, name in ((a, "a2"), (b, "b1"))}
    await submit(cluster, b, "b2", 1)
    await cluster.running(b, "b2")
    await cluster.until(lambda: _waits(cluster, a, "a1"))
    assert {name: await _uid(cluster, p, name) for p, name in ((a, "a2"), (b, "b1"))} == kept
    events = await cluster.all("events", a)
    why = next(e["message"] for e in events if e["reason"] == "Preempted")
    assert "b2" in why
    await cluster.delete("jobs", a, "a2")
    await cluster.running(a, "a1")


async def _uid(cluster: Harness, project: str, workload: str) -> str:
    pod = await cluster.pod_of(project, workload)
    assert pod is not None
    return str(pod["metadata"]["uid"])


async def _waits(cluster: Harness, project: str, workload: str) -> bool:
    return bool(await cluster.waits_with(project, workload))


async def test_c12_two_projects_share_four_gpus_evenly(cluster: Harness) -> None:
    await cluster.start_agent("v100=4")
    a = await cluster.project("team-a", quota=1)
    b = await cluster.project("team-b", quota=1)
    for i in range(1, 5):
        await submit(cluster, a, f"a{i}", 1)
    await cluster.until(lambda: _running(cluster, a, 4))
    for i in range(1, 5):
        await submit(cluster, b, f"b{i}", 1)
    await cluster.until(lambda: _running(cluster, b, 2))
    await cluster.until(lambda: _running(cluster, a, 2))


async def _running(cluster: Harness, project: str, count: int) -> bool:
    pods = await cluster.all("pods", project)
    living = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
    return [p["status"].get("phase") for p in living].count("Running") == count
