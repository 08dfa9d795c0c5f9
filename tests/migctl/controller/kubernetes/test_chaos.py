"""Whatever breaks, and whenever: no device in two claims, no pod lost or stuck, and it all comes back."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from migctl.controller.kubernetes.leader_election import LeaseTiming
from migctl.controller.kubernetes.process import ControllerSettings
from tests.depth import DEPTH, Depth
from tests.fakes import manifests
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.faults import Call, Cut, Fault, shuffled, unreliable
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_cluster.cluster import CONTROLLER, QUICK, FakeCluster
from tests.migctl.controller.kubernetes import safety

pytestmark = pytest.mark.anyio

USER = "system:serviceaccount:" + CONTROLLER
PROFILE = {"migctl.dev/mig-profile": "2g.10gb"}
POINTS = {Depth.SAMPLE: 12, Depth.SWEEP: 40, Depth.ALL: 100}[DEPTH]


def running(cluster: FakeCluster) -> int:
    return sum(phase == "Running" for phase in cluster.phases("team-a").values())


def settled(cluster: FakeCluster) -> bool:
    """Everything that was asked for runs, and nothing is left over of what ended."""
    held = {uid for agent in cluster.agents.values() for uid in agent.held}
    claims = {c["metadata"]["uid"] for c in cluster.operations.storage.all("resourceclaims")}
    return running(cluster) == 3 and len(list(cluster.pods("team-a"))) == 3 and held == claims


def claimed(cluster: FakeCluster, *jobs: str) -> bool:
    """Whether the jobs' pods, and no others, are there with their claims."""
    owners = {p["metadata"]["ownerReferences"][0]["name"] for p in cluster.pods("team-a")}
    return owners == set(jobs) and all("resourceClaimStatuses" in p["status"] for p in cluster.pods("team-a"))


def submit(cluster: FakeCluster, *names: str) -> None:
    for name in names:
        cluster.create("jobs", manifests.job(name, PROFILE), "team-a")


async def change_of_work(cluster: FakeCluster) -> None:
    """Two trainings; a workspace that displaces one of them; then the workspace goes."""
    submit(cluster, "a", "b")
    await cluster.until(lambda: running(cluster) == 2)
    cluster.create("statefulsets", manifests.stateful_set("ws", {"migctl.dev/mig-profile": "4g.20gb"}), "team-a")
    await cluster.until(lambda: cluster.phases("team-a").get("ws-0") == "Running")
    cluster.delete("statefulsets", "ws", "team-a")
    submit(cluster, "c")
    await cluster.until(lambda: settled(cluster))


class Killer:
    """Lets a controller's n-th write be its last: from then on nothing of it reaches the server."""

    def __init__(self, at: int, done: bool) -> None:
        self.calls = 0
        self.dead = asyncio.Event()
        self._at = at
        self._done = done

    def __call__(self, call: Call) -> Refused | None:
        if call.user != USER or "leases" in call.path:
            return None
        if self.dead.is_set():
            raise Cut
        if call.method != "GET":
            self.calls += 1
            if self.calls == self._at:
                self.dead.set()
                raise Cut(done=self._done)
        return None


@pytest.fixture(scope="module")
def writes() -> int:
    """How many writes the controller makes in that scenario when nobody kills it."""
    return asyncio.run(_writes())


async def _writes() -> int:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a", quota=2)
        counter = Killer(at=0, done=False)
        cluster.server.faults.before.append(counter)
        await change_of_work(cluster)
        return counter.calls


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(POINTS))
async def test_killed_at_a_write_its_successor_finishes(writes: int, point: int, done: bool) -> None:
    """Kills spread over the writes of a run without one; the last tenth is left to runs that write less."""
    at = 1 + point * (writes * 9 // 10) // POINTS
    async with FakeCluster().running() as cluster:
        async with cluster.controller():
            await cluster.node("node-a", "a100-40gb")
            await cluster.project("team-a", quota=2)
        killer = Killer(at, done)
        cluster.server.faults.before.append(killer)
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(change_of_work(cluster))
            killed = tasks.create_task(killer.dead.wait())
            async with cluster.controller():
                await asyncio.wait([work, killed], return_when=asyncio.FIRST_COMPLETED)
            assert killer.dead.is_set(), f"{killer.calls} writes, none of them the {at}th of {writes}"
            cluster.server.faults.before.remove(killer)
            async with cluster.controller():
                await work
        assert not safety.history(cluster)
        assert not safety.prepared_twice(cluster)


async def test_an_unreliable_server_delays_and_loses_nothing() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a", quota=2)
        cluster.server.faults.before.append(unreliable(seed=11, rate=0.15))
        await change_of_work(cluster)
        assert not safety.history(cluster)


@pytest.mark.parametrize("seed", range(3))
async def test_lost_repeated_and_late_watch_events_are_made_up_for(seed: int) -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a", quota=2)
        cluster.server.faults.events = shuffled(seed, rate=0.3)
        await change_of_work(cluster)
        assert not safety.history(cluster)


async def test_a_server_that_was_away_is_caught_up_with() -> None:
    async with FakeCluster().running() as cluster, cluster.controller() as controller:
        await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a", quota=2)
        submit(cluster, "a", "b")
        await cluster.until(lambda: running(cluster) == 2)
        cluster.server.faults.down = True
        cluster.server.cut_watches()
        await cluster.until(lambda: not controller.cluster.synced and not controller.elector.leading)
        cluster.delete("jobs", "a", "team-a")
        submit(cluster, "c", "d")
        await cluster.until(lambda: claimed(cluster, "b", "c", "d"))
        for plural in cluster.operations.storage.resources():
            cluster.operations.storage.compact(plural)
        cluster.server.faults.down = False
        await cluster.until(lambda: settled(cluster))
        assert not safety.history(cluster)


async def test_two_controllers_one_of_which_does_not_know_it_lost_the_lease() -> None:
    """The second takes a lease that the first still believes in; both decide for a while."""
    stubborn = ControllerSettings(
        lease=LeaseTiming(duration_s=0.6, step_down_s=60.0, renew_s=30.0), watches=QUICK.watches
    )
    async with FakeCluster().running() as cluster, cluster.controller("one", stubborn) as first:
        await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a", quota=2)
        async with cluster.controller("two") as second:
            await cluster.until(lambda: second.elector.leading)
            assert first.elector.leading
            submit(cluster, *(f"j{i}" for i in range(8)))
            await cluster.until(lambda: running(cluster) == 3)
            await cluster.until(lambda: not safety.overlaps(safety.grants(claims_of(cluster))))
            for _ in range(5):
                victim = next(p for p in cluster.pods("team-a") if p["status"].get("phase") == "Running")
                name = victim["metadata"]["name"]
                cluster.delete("jobs", victim["metadata"]["ownerReferences"][0]["name"], "team-a")
                await cluster.until(lambda: cluster.get("pods", name, "team-a") is None)  # noqa: B023
                await cluster.until(lambda: running(cluster) == 3)
                assert not safety.prepared_twice(cluster)
        await cluster.until(lambda: not safety.overlaps(safety.grants(claims_of(cluster))))


def claims_of(cluster: FakeCluster) -> list[Json]:
    return list(cluster.operations.storage.all("resourceclaims"))


async def test_a_standby_takes_over_when_the_leader_is_gone() -> None:
    async with FakeCluster().running() as cluster, cluster.controller("one") as first:
        await cluster.node("node-a", "a100-40gb")
        await cluster.until(lambda: first.elector.leading)
        await cluster.project("team-a", quota=2)
        async with cluster.controller("two") as second:
            await cluster.until(lambda: second.cluster.synced)
            await cluster.until(lambda: first.elector.leading and not second.elector.leading)
            cluster.server.faults.before.append(silence("one"))
            await cluster.until(lambda: second.elector.leading and not first.elector.leading)
            submit(cluster, "a")
            await cluster.until(lambda: running(cluster) == 1)


def silence(identity: str) -> Fault:
    """Breaks every connection of one controller."""

    def fault(call: Call) -> Refused | None:
        if call.bound_to == identity:
            raise Cut
        return None

    return fault


async def test_an_agent_that_is_down_gets_nothing_new_and_loses_nothing() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        agent = await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a", quota=2)
        submit(cluster, "a")
        await cluster.until(lambda: running(cluster) == 1)
        agent.up = False
        submit(cluster, "b", "c")
        await cluster.until(lambda: len([p for p in cluster.pods("team-a") if p["spec"].get("nodeName")]) == 3)
        assert running(cluster) == 1
        agent.up = True
        agent.changed()
        await cluster.until(lambda: settled(cluster))
        assert not safety.history(cluster)


async def test_work_of_a_node_that_is_gone_runs_elsewhere() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb")
        await cluster.project("team-a", quota=4)
        submit(cluster, "a", "b", "c")
        await cluster.until(lambda: running(cluster) == 3)
        cluster.kubelets["node-a"].alive = False
        cluster.agents.pop("node-a").up = False
        cluster.delete("nodes", "node-a")
        await cluster.node("node-b", "a100-40gb")
        for pod in list(cluster.pods("team-a")):
            with suppress(Refused):
                cluster.delete("pods", pod["metadata"]["name"], "team-a", gracePeriodSeconds=0)
        await cluster.until(lambda: running(cluster) == 3)
        assert {p["spec"]["nodeName"] for p in cluster.pods("team-a")} == {"node-b"}


async def test_a_hundred_submits_at_once_never_over_pack_a_gpu() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb", "v100")
        await cluster.project("team-a", quota=2)
        for i in range(100):
            gpu_requests = {"gpu-fraction": "0.25"} if i % 2 else {"gpu-memory": "4000"}
            cluster.create("jobs", manifests.job(f"j{i}", gpu_requests), "team-a")
        await cluster.until(lambda: running(cluster) >= 9)
        assert not safety.history(cluster)
        assert not safety.prepared_twice(cluster)
