"""Pods with several containers that use GPUs: each gets its own, by a request of its own in the pod's claim."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from nodeagent.contract.wire import allocation_to_json, device_name
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_api.users import ADMIN
from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.fakes.kubernetes_cluster.standin import condition

pytestmark = pytest.mark.anyio

PARTS = {"gpu-fraction.encode": "0.5", "gpu-fraction.draw": "0.25"}


def container(name: str, gpus: int | None = None) -> Json:
    limits = {} if gpus is None else {"nvidia.com/gpu": str(gpus)}
    return {"name": name, "image": "busybox", "resources": {"limits": limits, "requests": dict(limits)}}


def pod(name: str, *containers: Json, annotations: dict[str, str] | None = None, **fields: Any) -> Json:
    spec = {"containers": list(containers), "restartPolicy": "Never", **fields}
    return {"metadata": {"name": name, "annotations": annotations or {}}, "spec": spec}


def results(cluster: FakeCluster, name: str) -> list[tuple[str, str]]:
    """Request and device of each result of a pod's claim, in order."""
    found = cluster.get("pods", name, "team-a")
    (status,) = (found or {})["status"]["resourceClaimStatuses"]
    claim = cluster.get("resourceclaims", status["resourceClaimName"], "team-a")
    devices = (claim or {})["status"]["allocation"]["devices"]
    return [(result["request"], result["device"]) for result in devices["results"]]


def portions(cluster: FakeCluster, node: str = "node-a") -> list[tuple[str, float]]:
    """GPU and portion of each share that the node's agent holds."""
    held = cluster.agents[node].held.values()
    return sorted((share.gpu, share.portion) for allocation in held for share in allocation.devices)


def runs(cluster: FakeCluster, *names: str) -> bool:
    return all(cluster.phases("team-a").get(name) == "Running" for name in names)


async def test_two_containers_have_a_gpu_each() -> None:
    """The claim had one request for both, so that each container got the devices of both."""
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", "v100")
        await cluster.project("team-a")
        cluster.create("pods", pod("two", container("encode", 1), container("draw", 1)), "team-a")
        await cluster.until(lambda: runs(cluster, "two"))
        assert [request for request, _ in results(cluster, "two")] == ["gpu-0", "gpu-1"]
        assert {device for _, device in results(cluster, "two")} == {"gpu-0", "gpu-1"}
        found = cluster.get("pods", "two", "team-a") or {}
        assert [c["resources"]["claims"] for c in found["spec"]["containers"]] == [
            [{"name": "migctl-gpu", "request": "gpu-0"}],
            [{"name": "migctl-gpu", "request": "gpu-1"}],
        ]


async def test_two_containers_have_parts_of_one_gpu() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.create("pods", pod("two", container("encode"), container("draw"), annotations=PARTS), "team-a")
        await cluster.until(lambda: runs(cluster, "two"))
        assert results(cluster, "two") == [("gpu-0", "gpu-0-share"), ("gpu-1", "gpu-0-share")]
        assert portions(cluster) == [("GPU-node-a-0", 0.25), ("GPU-node-a-0", 0.5)]
        cluster.create("pods", pod("rest", container("a"), annotations={"gpu-fraction.a": "0.25"}), "team-a")
        await cluster.until(lambda: runs(cluster, "rest"))
        cluster.create("pods", pod("late", container("a"), annotations={"gpu-fraction.a": "0.1"}), "team-a")
        await cluster.until(lambda: waits(cluster, "late").get("reason") == "no-free-gpu")


def waits(cluster: FakeCluster, name: str) -> Json:
    return condition(cluster.get("pods", name, "team-a") or {}, "migctl.dev/Placed")


async def test_one_container_has_a_whole_gpu_and_another_a_part() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", "v100")
        await cluster.project("team-a")
        asked = {"gpu-memory.draw": "4G"}
        cluster.create("pods", pod("two", container("encode", 1), container("draw"), annotations=asked), "team-a")
        await cluster.until(lambda: runs(cluster, "two"))
        (first, whole), (second, part) = results(cluster, "two")
        assert (first, second) == ("gpu-0", "gpu-1")
        assert part.endswith("-share")
        assert not whole.endswith("-share")
        assert whole != part.removesuffix("-share")


async def test_on_gpus_in_mig_mode_each_container_has_the_largest_instance() -> None:
    """One program can use one instance only; two containers are two programs."""
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb", "a100-40gb")
        await cluster.project("team-a")
        cluster.create("pods", pod("two", container("encode", 1), container("draw", 1)), "team-a")
        await cluster.until(lambda: runs(cluster, "two"))
        assert results(cluster, "two") == [("gpu-0", "gpu-0-7g-40gb-0"), ("gpu-1", "gpu-1-7g-40gb-0")]


async def test_a_gang_of_such_pods_starts_whole() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", "v100")
        await cluster.project("team-a")
        annotations = {**PARTS, "migctl.dev/gang-size": "3"}
        template = {
            "metadata": {"annotations": annotations},
            "spec": {"containers": [container("encode"), container("draw")], "restartPolicy": "Never"},
        }
        spec = {"parallelism": 3, "completions": 3, "template": template}
        cluster.create("jobs", {"metadata": {"name": "gang"}, "spec": spec}, "team-a")
        await cluster.until(lambda: len([p for p in cluster.pods("team-a") if waits(cluster, _name(p))]) == 3)
        assert not portions(cluster)
        await cluster.node("node-b", "v100")
        await cluster.until(lambda: list(cluster.phases("team-a").values()) == ["Running"] * 3)
        assert len(portions(cluster)) + len(portions(cluster, "node-b")) == 6


def _name(obj: Json) -> str:
    return str(obj["metadata"]["name"])


async def test_the_quota_counts_what_the_containers_have_together() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100", "v100")
        cluster.create("projects", {"metadata": {"name": "team-a"}, "spec": {"quota": 0.7, "limit": 0.7}})
        await cluster.until(
            lambda: cluster.get("resourceclaimtemplates", "migctl-gpu-containers", "team-a") is not None
        )
        cluster.create("pods", pod("two", container("encode"), container("draw"), annotations=PARTS), "team-a")
        await cluster.until(lambda: waits(cluster, "two").get("reason") == "over-limit")
        limit = {"spec": {"limit": 0.75, "quota": 0.75}}
        cluster.operations.patch(ADMIN, BY_PLURAL["projects"], "", "team-a", limit, "application/merge-patch+json")
        await cluster.until(lambda: runs(cluster, "two"))
        project = cluster.get("projects", "team-a") or {}
        await cluster.until(
            lambda: (cluster.get("projects", "team-a") or project)["status"].get("allocated") == pytest.approx(0.75)
        )


async def test_a_pod_of_an_older_version_keeps_its_claim() -> None:
    """Its containers share the one request of its claim: a new controller counts what they hold, and lets them run."""
    async with FakeCluster().running() as cluster:
        await cluster.node("node-a", "v100", "v100")
        async with cluster.controller("old"):
            await cluster.project("team-a")
        older = pod("two", container("encode"), container("draw"), annotations={"migctl.dev/gpu-devices": "2"})
        for one in older["spec"]["containers"]:
            one["resources"]["claims"] = [{"name": "migctl-gpu"}]
        older["spec"]["resourceClaims"] = [{"name": "migctl-gpu", "resourceClaimTemplateName": "migctl-gpu"}]
        cluster.create("pods", older, "team-a")
        await cluster.until(lambda: any(cluster.operations.storage.all("resourceclaims")))
        (claim,) = cluster.operations.storage.all("resourceclaims")
        shares = tuple(DeviceShare(f"GPU-node-a-{i}", Backing.WHOLE, 1.0, 16160) for i in (0, 1))
        indexes = {share.gpu: index for index, share in enumerate(shares)}
        at = claim["metadata"]["creationTimestamp"]
        grant = Grant("node-a", shares)
        cluster.allocate(claim, allocation_to_json(grant, lambda s: device_name(indexes[s.gpu], s), _time(at)))
        await cluster.until(lambda: runs(cluster, "two"))
        async with cluster.controller("new"):
            cluster.create("pods", pod("next", container("a", 1), container("b", 1)), "team-a")
            await cluster.until(lambda: waits(cluster, "next").get("reason") == "no-free-gpu")
        assert runs(cluster, "two")
        assert results(cluster, "two") == [("gpu", "gpu-0"), ("gpu", "gpu-1")]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
