"""YAML that people have, applied in a project's namespace (acceptance D)."""

from __future__ import annotations

import time

import pytest

from migctl.backends.protocol import Forbidden, Invalid
from tests.cluster.harness import Harness
from tests.cluster.workloads import FOREVER, job, stateful_set

pytestmark = pytest.mark.anyio

HALF = {"gpu-fraction": "0.5"}
SHOW = "env | grep -E 'NVIDIA_VISIBLE|CUDA_VISIBLE'; "


async def test_d1_a_job_with_a_whole_gpu_runs_and_completes(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("team-a", quota=1)
    await cluster.create("jobs", project, job("train", cluster.place.image, gpus=1, script=SHOW + "sleep 1"))

    async def complete() -> bool:
        found = await cluster.find("jobs", "train", project) or {}
        return any(c["type"] == "Complete" for c in found.get("status", {}).get("conditions", []))

    await cluster.until(complete)
    (gpu,) = (await cluster.report())["gpus"]
    assert gpu["uuid"] in await cluster.log(project, "train")
    await cluster.until(lambda: _nothing_held(cluster))


async def _nothing_held(cluster: Harness) -> bool:
    return not (await cluster.report())["allocations"]


async def test_d2_a_failing_job_is_retried_then_failed_and_its_gpu_is_free(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("team-a", quota=1)
    await cluster.create("jobs", project, job("bad", cluster.place.image, gpus=1, script="exit 3", backoffLimit=1))

    async def failed() -> bool:
        found = await cluster.find("jobs", "bad", project) or {}
        return any(c["type"] == "Failed" for c in found.get("status", {}).get("conditions", []))

    await cluster.until(failed, reserve_after_s=120)
    assert ((await cluster.find("jobs", "bad", project)) or {})["status"]["failed"] == 2
    await cluster.until(lambda: _nothing_held(cluster))


async def test_d3_d5_two_fractions_share_a_gpu_a_job_and_a_workspace(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("team-a", quota=1)
    await cluster.create("jobs", project, job("frac1", cluster.place.image, HALF))
    await cluster.create("statefulsets", project, stateful_set("frac2", cluster.place.image, HALF))
    await cluster.running(project, "frac1", "frac2")
    shares = await cluster.shares(project)
    assert {share["gpu"] for share in shares.values()} == {(await cluster.report())["gpus"][0]["uuid"]}
    assert {share["memoryMib"] for share in shares.values()} == {8080}
    await cluster.create("jobs", project, job("frac3", cluster.place.image, HALF))
    await cluster.until(lambda: _says(cluster, project, "frac3", ""))
    await cluster.delete("jobs", project, "frac1")
    await cluster.running(project, "frac3")


async def _says(cluster: Harness, project: str, workload: str, words: str) -> bool:
    said = await cluster.waits_with(project, workload)
    return bool(said) and words in said


async def test_d4_a_workspace_is_not_preemptible(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("team-a", quota=1)
    await cluster.create("statefulsets", project, stateful_set("ws", cluster.place.image, gpus=1))
    await cluster.running(project, "ws")
    await cluster.create("statefulsets", project, stateful_set("other", cluster.place.image, gpus=1))
    await cluster.until(lambda: _says(cluster, project, "other", ""))
    assert await cluster.phase(project, "ws") == "Running"


@pytest.mark.parametrize(
    ("annotations", "gpus", "said"),
    [
        ({"gpu-fraction": "1.2"}, 0, "is not a part of a GPU"),
        ({"gpu-fraction": "0"}, 0, "is not a part of a GPU"),
        ({"gpu-fraction": "abc"}, 0, "is not a part of a GPU"),
        (HALF, 1, "exclude each other"),
        ({"gpu-fraction": "0.5", "gpu-memory": "5G"}, 0, "exclude each other"),
        ({"gpu-memory": "5X"}, 0, "is not an amount of memory"),
        ({"gpu-memory": "10"}, 0, "at least 100 MB"),
        ({"gpu-fraction": "0.5", "gpu-fraction-container-name": "nobody"}, 0, "it has main"),
    ],
    ids=str,
)
async def test_d6_bad_requests_are_refused_and_nothing_is_made(
    cluster: Harness, annotations: dict[str, str], gpus: int, said: str
) -> None:
    project = await cluster.project("team-a", quota=1)
    with pytest.raises(Invalid, match=said):
        await cluster.create("jobs", project, job("bad", cluster.place.image, annotations, gpus=gpus))
    assert await cluster.all("jobs", project) == []


async def test_d6_an_unknown_profile_names_the_valid_ones(cluster: Harness) -> None:
    await cluster.start_agent("a100-40gb=1")
    project = await cluster.project("team-a", quota=1)
    annotations = {"migctl.dev/mig-profile": "9g.99gb"}

    async def refused() -> bool:
        try:
            await cluster.create("jobs", project, job("bad", cluster.place.image, annotations), dry_run=True)
        except Invalid as error:
            return "1g.5gb" in str(error)
        return False

    await cluster.until(refused)


async def test_d7_a_namespace_that_is_no_project_is_named_as_the_reason(cluster: Harness) -> None:
    await cluster.project("team-a", quota=1)
    with pytest.raises((Invalid, Forbidden), match="is no migctl project"):
        await cluster.create("jobs", "default", job("lost", cluster.place.image, HALF), dry_run=True)


async def test_d8_a_deleted_workload_is_gone_and_its_share_free(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("team-a", quota=1)
    await cluster.create("jobs", project, job("a", cluster.place.image, gpus=1))
    await cluster.running(project, "a")
    await cluster.create("jobs", project, job("b", cluster.place.image, gpus=1))
    await cluster.until(lambda: _says(cluster, project, "b", ""))
    began = time.monotonic()
    await cluster.delete("jobs", project, "a")
    await cluster.running(project, "b")
    print(f"\nkubectl delete -> the next one runs: {time.monotonic() - began:.2f} s")


async def test_each_container_sees_the_gpus_it_asked_for_and_no_others(cluster: Harness) -> None:
    """Two containers and an init container: kubelet hands each the devices of the request that it names."""
    await cluster.start_agent("v100=2")
    project = await cluster.project("team-a", quota=2)
    made = job("two", cluster.place.image)
    spec = made["spec"]["template"]["spec"]
    (container,) = spec.pop("containers")
    show = {"command": ["sh", "-c", SHOW + FOREVER]}
    spec["containers"] = [
        {**container, **show, "name": name, "resources": {"limits": {"nvidia.com/gpu": 1}}} for name in ("a", "b")
    ] + [{**container, **show, "name": "log"}]
    check = {"command": ["sh", "-c", "env | grep NVIDIA_VISIBLE"], "resources": {"limits": {"nvidia.com/gpu": 1}}}
    spec["initContainers"] = [{**container, **check, "name": "check"}]
    await cluster.create("jobs", project, made)
    await cluster.running(project, "two")
    gpus = {gpu["uuid"] for gpu in (await cluster.report())["gpus"]}
    seen = {name: await _visible(cluster, project, "two", name) for name in ("a", "b", "log", "check")}
    assert seen["log"] == set()
    assert len(seen["a"]) == len(seen["b"]) == 1
    assert seen["a"] | seen["b"] == gpus
    assert seen["check"] in (seen["a"], seen["b"])


async def _visible(cluster: Harness, project: str, workload: str, container: str) -> set[str]:
    lines = (await cluster.log(project, workload, container)).splitlines()
    return {line.partition("=")[2] for line in lines if "VISIBLE_DEVICES=" in line}


async def test_d9_memory_in_mib(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("team-a", quota=1)
    await cluster.create("jobs", project, job("mem", cluster.place.image, {"gpu-memory": "2000"}))
    await cluster.running(project, "mem")
    (share,) = (await cluster.shares(project)).values()
    assert share["memoryMib"] == 2000


async def test_d10_two_gpus_on_a_one_gpu_node_wait_with_the_reason(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("team-a", quota=2)
    await cluster.create("jobs", project, job("big", cluster.place.image, gpus=2))
    await cluster.until(lambda: _says(cluster, project, "big", ""))
    assert await cluster.phase(project, "big") == "Pending"
