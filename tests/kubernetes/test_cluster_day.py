"""What people apply, and what becomes of it: controller, agents and stand-ins together over real HTTP."""

from __future__ import annotations

import pytest

from tests.kubernetes import manifests
from tests.kubernetes.fake_cluster.cluster import FakeCluster

pytestmark = pytest.mark.anyio


async def test_two_fractions_share_a_gpu_and_a_third_waits_with_the_reason() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a", quota=1)
        for name in ("frac1", "frac2"):
            cluster.create("jobs", manifests.job(name, {"gpu-fraction": "0.5"}), "team-a")
        await cluster.until(lambda: list(cluster.phases("team-a").values()) == ["Running", "Running"])
        gpus = {s.gpu for a in cluster.agents["node-a"].held.values() for s in a.devices}
        assert gpus == {"GPU-node-a-0"}
        cluster.create("jobs", manifests.job("frac3", {"gpu-fraction": "0.5"}), "team-a")
