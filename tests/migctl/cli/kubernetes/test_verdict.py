"""`submit --verdict` on a cluster: decided by what the person sees, and nothing is created."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.limits import WAIT_S
from tests.migctl.cli.kubernetes.command_line import Person, person

pytestmark = pytest.mark.anyio
SLEEP = ("-i", "busybox", "--", "sleep", "infinity")


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    """One V100 and team-a with a quota of 1."""
    with capture_logs():
        async with FakeCluster().running() as made, made.controller():
            await made.node("node-a", "v100")
            await made.project("team-a", quota=1)
            yield made


async def record(who: Person, *words: str, code: int = 0) -> dict[str, Any]:
    result = await who("submit", *words, "--verdict", "-o", "json", *SLEEP)
    assert result.code == code, result
    found: dict[str, Any] = json.loads(result.out)
    return found


@pytest.mark.parametrize("name", ["ana", "admin"])
async def test_the_verdict_is_what_the_controller_does(cluster: FakeCluster, tmp_path: Path, name: str) -> None:
    who = person(cluster, tmp_path, name)
    told = await record(who, "one", "-g", "0.5")
    assert told["prospect"] == "starts"
    assert (await who.ok("list", "-o", "json")).out.count('"kind": "Workload"') == 0
    await who.ok("submit", "one", "-g", "0.5", *SLEEP)
    async with asyncio.timeout(WAIT_S):
        while "Running" not in cluster.phases("team-a").values():
            await asyncio.sleep(0.01)
    why = json.loads((await who.ok("describe", "one", "-o", "json")).out)
    assert told["places"][0]["node"] == "node-a"
    assert told["places"][0]["devices"][0]["gpu"] in json.dumps(why)


async def placed_condition(cluster: FakeCluster) -> str:
    """The reason on a pod of team-a that waits, once the controller has written it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            for pod in cluster.operations.storage.all("pods", "team-a"):
                for condition in pod["status"].get("conditions", ()):
                    if condition["type"] == "migctl.dev/Placed" and condition["status"] == "False":
                        return str(condition["reason"])
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-g", "2"), "too-big"),
        (("--gpu-memory", "900G"), "too-big"),
    ],
)
async def test_it_says_the_reason_that_the_pod_then_has(
    cluster: FakeCluster, tmp_path: Path, words: tuple[str, ...], code: str
) -> None:
    admin = person(cluster, tmp_path, "admin")
    told = await record(admin, "one", *words, code=5)
    await admin.ok("submit", "one", *words, *SLEEP)
    assert told["reasons"][0]["code"] == await placed_condition(cluster) == code


async def test_taints_count_for_those_who_may_see_them(cluster: FakeCluster, tmp_path: Path) -> None:
    await cluster.node("node-b", "a100-40gb", taints=[{"key": "hers", "value": "yes", "effect": "NoSchedule"}])
    await cluster.until(lambda: "report" in (cluster.get("gpunodes", "node-b") or {}).get("status", {}))
    words = ("one", "--mig-profile", "1g.5gb")
    admin = person(cluster, tmp_path, "admin")
    told, ana = await record(admin, *words, code=5), await record(person(cluster, tmp_path), *words)
    assert (ana["prospect"], "note" in told) == ("starts", False)
    assert "taints" in ana["note"]
    await admin.ok("submit", *words, *SLEEP)
    assert told["reasons"][0]["code"] == await placed_condition(cluster)


async def test_each_pod_of_several_and_a_name_that_is_taken(cluster: FakeCluster, tmp_path: Path) -> None:
    admin = person(cluster, tmp_path, "admin")
    told = await record(admin, "many", "-g", "0.5", "--parallelism", "3", code=5)
    assert (told["prospect"], told["pods"], told["starting"], told["waiting"]) == ("partly", 3, 2, 1)
    await admin.ok("submit", "many", "-g", "0.5", *SLEEP)
    assert (await admin("submit", "many", "-g", "1", "--verdict", *SLEEP)).code == 4
    assert (await admin("submit", "noimage", "-g", "1", "--verdict")).code == 2
