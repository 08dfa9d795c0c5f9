"""Dynamic MIG on one A100 (acceptance F)."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.harness import Harness, Json
from tests.cluster.workloads import FOREVER, job, stateful_set

pytestmark = pytest.mark.anyio

SHOW = f"env | grep -E 'NVIDIA_VISIBLE|CUDA_VISIBLE'; {FOREVER}"


def profile(name: str) -> dict[str, str]:
    return {"migctl.dev/mig-profile": name}


async def layout(cluster: Harness) -> list[tuple[str, int, str]]:
    """Profile, start and state of every instance of the first GPU."""
    instances = (await cluster.report())["gpus"][0]["instances"]
    return sorted((i["profile"], i["start"], i["state"]) for i in instances)


async def three_trainings(cluster: Harness) -> str:
    await cluster.start_agent("a100-40gb=1")
    project = await cluster.project("team-a", quota=2)
    await cluster.create("jobs", project, job("t1", cluster.place.image, {"gpu-memory": "10GB"}, script=SHOW))
    await cluster.running(project, "t1")
    for name in ("t2", "t3"):
        await cluster.create("jobs", project, job(name, cluster.place.image, profile("2g.10gb"), script=SHOW))
    await cluster.running(project, "t2", "t3")
    return project


async def test_f2_f3_three_instances_at_legal_starts_each_seen_alone(cluster: Harness) -> None:
    project = await three_trainings(cluster)
    assert await layout(cluster) == [("2g.10gb", start, "busy") for start in (0, 2, 4)]

    async def accounted() -> bool:
        found = await cluster.find("projects", project) or {}
        return abs(float(found.get("status", {}).get("allocated", 0)) - 0.857) < 0.001

    await cluster.until(accounted)
    uuids = {i["uuid"] for i in (await cluster.report())["gpus"][0]["instances"]}
    seen = set()
    for name in ("t1", "t2", "t3"):
        words = {line.partition("=")[2] for line in (await cluster.log(project, name)).split()}
        assert len(words) == 1
        seen |= words
    assert seen == uuids


async def test_f4_f5_f6_one_training_makes_room_and_comes_back(cluster: Harness) -> None:
    project = await three_trainings(cluster)
    before = {name: await _identity(cluster, project, name) for name in ("t1", "t2", "t3")}
    await cluster.create("statefulsets", project, stateful_set("ws", cluster.place.image, profile("3g.20gb")))
    await cluster.running(project, "ws")
    assert ("3g.20gb", 4, "busy") in await layout(cluster)
    after = {name: await _identity(cluster, project, name) for name in before}
    assert sum(before[name] == after[name] for name in before) == 2
    (moved,) = (name for name in before if before[name] != after[name])
    await cluster.until(lambda: _waits(cluster, project, moved))
    await cluster.delete("statefulsets", project, "ws")
    await cluster.running(project, moved)


async def _identity(cluster: Harness, project: str, name: str) -> tuple[str, str]:
    """A pod's uid and when its container started; nothing while a Job has not made its next pod yet."""
    pod = await cluster.pod_of(project, name)
    if pod is None:
        return "", ""
    started = [s["state"].get("running", {}).get("startedAt") for s in pod["status"].get("containerStatuses", [])]
    return str(pod["metadata"]["uid"]), str(started)


async def _waits(cluster: Harness, project: str, workload: str) -> bool:
    return bool(await cluster.waits_with(project, workload))


async def test_f6_an_idle_instance_is_kept_and_used_again(cluster: Harness) -> None:
    await cluster.start_agent("a100-40gb=1")
    project = await cluster.project("team-a", quota=2)
    await cluster.create("jobs", project, job("one", cluster.place.image, profile("2g.10gb")))
    await cluster.running(project, "one")
    (first,) = (await cluster.report())["gpus"][0]["instances"]
    await cluster.delete("jobs", project, "one")

    async def idle() -> bool:
        return [state for _, _, state in await layout(cluster)] == ["idle"]

    await cluster.until(idle)
    await cluster.create("jobs", project, job("two", cluster.place.image, profile("2g.10gb")))
    await cluster.running(project, "two")
    (second,) = (await cluster.report())["gpus"][0]["instances"]
    assert (second["uuid"], second["start"]) == (first["uuid"], first["start"])


async def test_f7_without_mig_memory_is_a_software_share_and_a_profile_waits(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("team-a", quota=2)
    await cluster.create("jobs", project, job("mem", cluster.place.image, {"gpu-memory": "5G"}))
    await cluster.running(project, "mem")
    (share,) = (await cluster.shares(project)).values()
    assert (share["backing"], share["memoryMib"]) in (("software", 4769), ("driver-limit", 4769))
    await cluster.create("pods", project, _pod(job("p", cluster.place.image, profile("2g.10gb"))))
    await cluster.until(lambda: _waits(cluster, project, "p"))


def _pod(made: Json) -> Json:
    """The pod of a Job, by itself: a Job with an unknown profile would be refused."""
    template: Json = made["spec"]["template"]
    return {"metadata": {"name": made["metadata"]["name"], **template["metadata"]}, "spec": template["spec"]}


async def test_f9_agent_and_controller_killed_in_between_lose_nothing(cluster: Harness) -> None:
    project = await three_trainings(cluster)
    before = {name: await _identity(cluster, project, name) for name in ("t1", "t2", "t3")}
    await cluster.kill(cluster.agent)
    await cluster.kill(cluster.controller)
    await cluster.create("jobs", project, job("late", cluster.place.image, profile("1g.5gb"), script=SHOW))
    await cluster.delete("jobs", project, "t1")
    await cluster.start_controller()
    await cluster.start_agent()
    await cluster.running(project, "late")
    for name in ("t2", "t3"):
        assert await _identity(cluster, project, name) == before[name]

    async def settled() -> bool:
        held = {one["claim"] for one in (await cluster.report())["allocations"]}
        claims = {c["metadata"]["uid"] for c in await cluster.all("resourceclaims", project)}
        return held == claims and len(held) == 3

    await cluster.until(settled)


async def test_f10_many_submits_at_once_never_over_pack_a_gpu(cluster: Harness) -> None:
    await cluster.start_agent("a100-40gb=1")
    project = await cluster.project("team-a", quota=1)
    jobs = [job(f"j{i}", cluster.place.image, profile("1g.5gb")) for i in range(30)]
    await asyncio.gather(*(cluster.create("jobs", project, made) for made in jobs))

    async def seven() -> bool:
        pods = await cluster.all("pods", project)
        return [p["status"].get("phase") for p in pods].count("Running") == 7

    await cluster.until(seven, reserve_after_s=120)
    starts = [share["start"] for share in (await cluster.shares(project)).values()]
    assert len(starts) == len(set(starts)) == 7


async def test_f12_a_reclaim_evicts_as_few_as_open_a_legal_start(cluster: Harness) -> None:
    await cluster.start_agent("a100-40gb=1")
    a = await cluster.project("team-a", quota=0)
    b = await cluster.project("team-b", quota=1)
    for i in range(7):
        await cluster.create("jobs", a, job(f"a{i}", cluster.place.image, profile("1g.5gb")))
    names = [f"a{i}" for i in range(7)]
    await cluster.running(a, *names)
    before = {name: await _identity(cluster, a, name) for name in names}
    await cluster.create("jobs", b, job("big", cluster.place.image, profile("3g.20gb")))
    await cluster.running(b, "big")
    after = {name: await _identity(cluster, a, name) for name in names}
    evicted = sum(before[name] != after[name] for name in names)
    (share,) = (await cluster.shares(b)).values()
    assert (share["start"], evicted) in ((0, 4), (4, 3))
    assert evicted == 3
