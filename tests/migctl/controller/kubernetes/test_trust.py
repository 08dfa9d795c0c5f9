"""What a person who may edit pods and claims cannot do: get out of being counted, or out of being preempted."""

from __future__ import annotations

import pytest

from migctl.backends.kubernetes.stores.eviction import LONGEST_GRACE_S
from migctl.objects import Claim
from tests.fakes import manifests
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.users import ADMIN
from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.fakes.kubernetes_cluster.standin import MERGE, condition

pytestmark = pytest.mark.anyio


def phase(cluster: FakeCluster, name: str) -> str:
    return cluster.phases("team-a").get(name, "")


def waits(cluster: FakeCluster, name: str) -> bool:
    placed = condition(cluster.get("pods", name, "team-a") or {}, "migctl.dev/Placed")
    return bool(placed.get("status") == "False")


async def test_a_pod_whose_controller_let_go_of_it_keeps_its_rank() -> None:
    """A pod that nothing makes again is not preempted: letting go of a Job's pod made it so."""
    async with FakeCluster().running() as cluster, cluster.controller() as controller:
        await cluster.node("node-a", "v100")
        await cluster.project("team-a")
        cluster.create("jobs", manifests.job("train", gpus=1), "team-a")
        await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
        (name,) = cluster.phases("team-a")
        before = controller.cluster.get(Claim, name, "team-a")
        patch = {"metadata": {"ownerReferences": None}}
        changed = cluster.operations.patch(ADMIN, BY_PLURAL["pods"], "team-a", name, patch, MERGE)
        version = int(changed["metadata"]["resourceVersion"])
        await cluster.until(
            lambda: (pod := controller.cluster.pods.get(name, "team-a")) is not None and pod.version >= version
        )
        after = controller.cluster.get(Claim, name, "team-a")
        assert before is not None
        assert after is not None
        assert before.spec.preemptible
        assert after.spec == before.spec


@pytest.mark.parametrize("finalizer", [True, False], ids=["deleted only", "its finalizer taken off, too"])
async def test_a_claim_that_is_deleted_under_its_pod_counts_until_the_agent_lets_go(finalizer: bool) -> None:
    async with FakeCluster().running() as cluster, cluster.controller() as controller:
        agent = await cluster.node("node-a", "v100")
        await cluster.project("team-a", quota=1)
        cluster.create("pods", manifests.pod("thief", gpus=1), "team-a")
        await cluster.until(lambda: phase(cluster, "thief") == "Running")
        await cluster.until(lambda: (cluster.get("projects", "team-a") or {})["status"].get("allocated") == 1)
        (claim,) = cluster.operations.storage.all("resourceclaims")
        name, uid = claim["metadata"]["name"], claim["metadata"]["uid"]
        cluster.delete("resourceclaims", name, "team-a")
        if not finalizer:
            patch = {"metadata": {"finalizers": None}}
            cluster.operations.patch(ADMIN, BY_PLURAL["resourceclaims"], "team-a", name, patch, MERGE)
            await cluster.until(lambda: controller.cluster.claims.get(name, "team-a") is None)
        cluster.create("pods", manifests.pod("other", gpus=1), "team-a")
        await cluster.until(
            lambda: (
                condition(cluster.get("pods", "other", "team-a") or {}, "migctl.dev/Placed").get("status") == "False"
            )
        )
        assert (cluster.get("projects", "team-a") or {})["status"]["allocated"] == 1
        assert set(agent.held) == {uid}
        cluster.delete("pods", "thief", "team-a")
        await cluster.until(lambda: phase(cluster, "other") == "Running")
        assert controller.cluster.gone == frozenset()


@pytest.mark.parametrize("pod", [True, False], ids=["its pod goes on", "its pod is gone, too"])
async def test_a_claim_that_was_deleted_while_no_controller_ran_counts_until_the_agent_lets_go(pod: bool) -> None:
    """The claim was nobody's after the controller's next start: an agent's report named no project."""
    async with FakeCluster().running() as cluster:
        agent = await cluster.node("node-a", "v100")
        kubelet = cluster.kubelets["node-a"]
        async with cluster.controller():
            await cluster.project("team-a", quota=1)
            cluster.create("pods", manifests.pod("thief", gpus=1), "team-a")
            await cluster.until(lambda: phase(cluster, "thief") == "Running")
            await cluster.until(
                lambda: bool((cluster.get("gpunodes", "node-a") or {})["status"]["report"]["allocations"])
            )
        (claim,) = cluster.operations.storage.all("resourceclaims")
        name, uid = claim["metadata"]["name"], claim["metadata"]["uid"]
        kubelet.alive = pod
        if not pod:
            cluster.delete("pods", "thief", "team-a", gracePeriodSeconds=0)
        cluster.delete("resourceclaims", name, "team-a")
        patch = {"metadata": {"finalizers": None}}
        cluster.operations.patch(ADMIN, BY_PLURAL["resourceclaims"], "team-a", name, patch, MERGE)
        async with cluster.controller() as controller:
            cluster.create("pods", manifests.pod("other", gpus=1), "team-a")
            await cluster.until(lambda: waits(cluster, "other"))
            (held,) = (c for c in controller.cluster.all(Claim) if c.status.allocation is not None)
            assert (held.meta.uid, held.spec.workload) == (uid, "thief")
            await cluster.until(lambda: (cluster.get("projects", "team-a") or {})["status"].get("allocated") == 1)
            assert set(agent.held) == {uid}
            kubelet.alive = True
            if pod:
                cluster.delete("pods", "thief", "team-a")
            else:
                await kubelet.look_again()
            await cluster.until(lambda: phase(cluster, "other") == "Running")
            assert controller.cluster.gone == frozenset()


@pytest.mark.parametrize(("asked", "granted"), [(60, 60), (10**8, LONGEST_GRACE_S)], ids=["minute", "three years"])
async def test_a_preempted_pod_ends_within_an_hour_whatever_time_it_asks_for(asked: int, granted: int) -> None:
    """TerminationGracePeriodSeconds is the user's: with three years of it a GPU could not be reclaimed."""
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "v100")
        await cluster.project("team-a", quota=1)
        job = manifests.job("train", gpus=1, terminationGracePeriodSeconds=asked)
        cluster.create("jobs", job, "team-a")
        await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
        cluster.create("statefulsets", manifests.stateful_set("ws", gpus=1), "team-a")
        await cluster.until(lambda: phase(cluster, "ws-0") == "Running")
        log = cluster.operations.storage.section("pods").log
        times = {entry.stored.object["metadata"].get("deletionGracePeriodSeconds") for entry in log}
        assert times - {None, 0} == {granted}
