"""What the command line says of pods with several containers that use GPUs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.migctl.cli.kubernetes.command_line import Person, person

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    """Two V100 and team-a with a quota of 2."""
    with capture_logs():
        async with FakeCluster().running() as made, made.controller():
            await made.node("node-a", "v100", "v100")
            await made.project("team-a", quota=2)
            yield made


@pytest.fixture
def ana(cluster: FakeCluster, tmp_path: Path) -> Person:
    return person(cluster, tmp_path)


def job(name: str) -> Json:
    """A whole GPU for one container, a quarter for the next."""
    whole = {"limits": {"nvidia.com/gpu": 1}}
    containers = [{"name": "encode", "image": "x", "resources": whole}, {"name": "draw", "image": "x"}]
    pod = {
        "metadata": {"annotations": {"gpu-fraction.draw": "0.25"}},
        "spec": {"containers": containers, "restartPolicy": "Never"},
    }
    return {"metadata": {"name": name}, "spec": {"template": pod}}


async def test_list_and_describe_say_what_each_container_has(cluster: FakeCluster, ana: Person) -> None:
    cluster.create("jobs", job("train"), "team-a")
    await cluster.until(lambda: list(cluster.phases("team-a").values()) == ["Running"])
    listed = (await ana.ok("list")).out
    assert "1.25 (1.00 + 0.25)" in listed
    said = (await ana.ok("describe", "train")).out
    facts = dict(line.split(":", 1) for line in said.splitlines() if ":" in line and not line.startswith(" "))
    assert facts["Requested"].strip() == "encode: 1 GPU, draw: 0.25 GPU"
    assert facts["Allocated"].strip() == "1.25 GPUs"
    rows = [line.split() for line in said.splitlines() if line.strip().startswith("train-")]
    assert [(cells[1], cells[4]) for cells in rows] == [("encode", "whole"), ("draw", "software")]
    assert "2 GPUs: 1.25 used, 0.75 free" in (await ana.ok("gpus")).out


async def test_why_says_what_all_containers_together_wait_for(cluster: FakeCluster, ana: Person) -> None:
    for name in ("first", "second"):
        cluster.create("jobs", job(name), "team-a")
    await cluster.until(lambda: sorted(cluster.phases("team-a").values()) == ["Pending", "Running"])
    phases = cluster.phases("team-a")
    waiting = next(pod for pod in phases if phases[pod] == "Pending").rsplit("-", 1)[0]
    said = (await ana("why", waiting)).out
    assert "1 whole GPU + 0.25 GPU" in said
