"""A pod that stays Terminating because its node's agent is silent."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from migctl.controller.kubernetes.agent_liveness import SILENT_S
from tests.fakes.control_plane import ManualClock
from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.migctl.cli.kubernetes.command_line import person

pytestmark = pytest.mark.anyio


async def test_why_and_describe_say_that_a_pod_waits_for_a_silent_agent(tmp_path: Path) -> None:
    clock = ManualClock()
    with capture_logs():
        async with FakeCluster().running() as cluster, cluster.controller(clock=clock):
            await cluster.node("node-a", "v100")
            await cluster.project("team-a")
            ana = person(cluster, tmp_path)
            await ana.ok("submit", "job", "-g", "1", "-i", "busybox", "--", "sleep", "infinity")
            await cluster.until(lambda: list(cluster.phases("team-a").values()) == ["Running"])
            clock.advance(SILENT_S + 1)
            await cluster.until(lambda: not (cluster.get("gpunodes", "node-a") or {})["status"]["ready"])
            cluster.kubelets["node-a"].alive = False
            assert "waits" not in (await ana.ok("why", "job")).out
            (pod,) = cluster.pods("team-a")
            name = pod["metadata"]["name"]
            cluster.delete("pods", name, "team-a")
            for words in (("why", "job"), ("describe", "job")):
                out = " ".join((await ana.ok(*words)).out.split())
                assert f"pod {name} waits since 20" in out
                assert "for node node-a to end it: the agent is silent since 2030-01-01T" in out
                assert f"kubectl -n team-a delete pod {name} --force --grace-period=0" in out
