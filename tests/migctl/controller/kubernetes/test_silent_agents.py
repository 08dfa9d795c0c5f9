"""An agent that hangs says nothing: its node is shown as not ready and gets nothing new, until it is heard again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from migctl.controller.kubernetes.agent_liveness import SILENT_S, Heartbeats
from migctl.objects import GpuNode, Meta, NodeStatus
from tests.fakes import manifests
from tests.fakes.control_plane import ManualClock
from tests.fakes.kubernetes_cluster.cluster import FakeCluster

NOW = datetime(2030, 1, 1, tzinfo=UTC)
BEAT_S = 20.0
HOUR = timedelta(hours=1)


def node(reported: datetime | None) -> GpuNode:
    return GpuNode(meta=Meta(name="n"), status=NodeStatus(reported=reported, ready=True))


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("skew", [-HOUR, timedelta(), HOUR], ids=["behind", "right", "ahead"])
def test_a_nodes_wrong_clock_is_no_silence(skew: timedelta) -> None:
    heartbeats = Heartbeats()
    heartbeats.silent_since(node(NOW + skew), NOW)
    for beat in range(1, 20):
        at = after(beat * BEAT_S)
        assert heartbeats.silent_since(node(at + skew), at) is None


def test_silence_counts_from_when_the_last_report_came() -> None:
    heartbeats = Heartbeats()
    assert heartbeats.silent_since(node(NOW), NOW) is None
    assert heartbeats.silent_since(node(after(1)), after(30)) is None
    assert heartbeats.silent_since(node(after(1)), after(30 + SILENT_S)) is None
    assert heartbeats.silent_since(node(after(1)), after(31 + SILENT_S)) == after(30)
    assert heartbeats.silent_since(node(after(2)), after(32 + SILENT_S)) is None


@pytest.mark.parametrize("skew", [-HOUR, timedelta(seconds=-119), HOUR], ids=["hour behind", "behind", "ahead"])
def test_one_who_has_just_begun_to_look_calls_nobody_silent(skew: timedelta) -> None:
    """A fresh leader took the time in the report, which is another clock's, and took a node away that was heard."""
    heartbeats = Heartbeats()
    assert heartbeats.silent_since(node(NOW + skew), NOW) is None
    assert heartbeats.silent_since(node(NOW + skew), after(SILENT_S)) is None
    assert heartbeats.silent_since(node(NOW + skew), after(SILENT_S + 1)) == NOW


def test_nodes_that_are_gone_are_forgotten() -> None:
    heartbeats = Heartbeats()
    heartbeats.silent_since(node(NOW), NOW)
    heartbeats.keep_only({"n"})
    assert heartbeats.silent_since(node(NOW), after(SILENT_S + 1)) == NOW
    heartbeats.keep_only(set())
    assert heartbeats.silent_since(node(NOW), after(SILENT_S + 1)) is None


def test_a_node_that_never_reported_is_not_silent() -> None:
    assert Heartbeats().silent_since(node(None), NOW) is None


def ready(cluster: FakeCluster, name: str) -> bool:
    node = cluster.get("gpunodes", name)
    return node is not None and node["status"]["ready"]


def running(cluster: FakeCluster) -> int:
    return sum(phase == "Running" for phase in cluster.phases("team-a").values())


@pytest.mark.anyio
async def test_a_silent_node_gets_nothing_new_until_it_is_heard_again() -> None:
    clock = ManualClock()
    async with FakeCluster().running() as cluster, cluster.controller(clock=clock):
        silent, heard = await cluster.node("node-a", "v100"), await cluster.node("node-b", "v100")
        await cluster.project("team-a")
        for name in ("a", "b"):
            cluster.create("jobs", manifests.job(name, gpus=1), "team-a")
        await cluster.until(lambda: running(cluster) == 2)
        clock.advance(SILENT_S + 1)
        heard.beat(clock())
        await cluster.until(lambda: not ready(cluster, "node-a") and ready(cluster, "node-b"))
        assert "the agent is silent since 2030-01-01T" in (cluster.get("gpunodes", "node-a") or {})["status"]["message"]
        assert running(cluster) == 2
        for name in ("a", "b"):
            cluster.delete("jobs", name, "team-a")
        await cluster.until(lambda: not silent.held and not heard.held)
        for name in ("c", "d"):
            cluster.create("jobs", manifests.job(name, gpus=1), "team-a")
        await cluster.until(lambda: running(cluster) == 1)
        assert (bool(heard.held), bool(silent.held)) == (True, False)
        silent.beat(clock())
        await cluster.until(lambda: running(cluster) == 2)
        assert silent.held
        assert ready(cluster, "node-a")
