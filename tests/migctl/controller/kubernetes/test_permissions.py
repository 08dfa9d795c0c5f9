"""The deployed roles are enough, and nothing in them is unused: the server denies what they do not grant."""

from __future__ import annotations

import pytest

from migctl.backends.kubernetes.stores.event_recorder import Subject
from migctl.controller.kubernetes.agent_liveness import SILENT_S
from tests.fakes import manifests
from tests.fakes.control_plane import ManualClock
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_api.users import ADMIN, User
from tests.fakes.kubernetes_cluster.cluster import AGENT, CONTROLLER, FakeCluster
from tests.fakes.kubernetes_cluster.standin import MERGE

pytestmark = pytest.mark.anyio

USER = "system:serviceaccount:" + CONTROLLER
IN_RESEARCH = {"spec": {"department": "research"}}
PROFILE = {"migctl.dev/mig-profile": "2g.10gb"}


def running(cluster: FakeCluster) -> int:
    return sum(phase == "Running" for phase in cluster.phases("team-a").values())


async def test_the_controller_needs_each_of_its_permissions() -> None:
    clock = ManualClock()
    async with FakeCluster().running() as cluster, cluster.controller(clock=clock) as controller:
        await cluster.node("node-a", "a100-40gb")
        cluster.create("namespaces", {"metadata": {"name": "theirs", "labels": {"migctl.dev/project": "theirs"}}})
        cluster.create("projects", {"metadata": {"name": "theirs"}, "spec": {}})
        await cluster.project("team-a", quota=2)
        cluster.create("departments", {"metadata": {"name": "research"}, "spec": {"quota": 2}})
        cluster.operations.patch(ADMIN, BY_PLURAL["projects"], "", "team-a", IN_RESEARCH, MERGE)
        for name in ("a", "b", "c"):
            cluster.create("jobs", manifests.job(name, PROFILE), "team-a")
        await cluster.until(lambda: running(cluster) == 3)
        cluster.create("statefulsets", manifests.stateful_set("ws", {"migctl.dev/mig-profile": "3g.20gb"}), "team-a")
        await cluster.until(lambda: cluster.phases("team-a").get("ws-0") == "Running")
        cluster.create("pods", manifests.pod("waits", {"migctl.dev/mig-profile": "7g.40gb"}), "team-a")
        await cluster.until(lambda: cluster.get("leases", "migctl-controller", "migctl-system") is not None)
        controller.plan_retention.most = 0
        cluster.create("pods", manifests.pod("small", {"migctl.dev/mig-profile": "1g.5gb"}), "team-a")
        await cluster.until(lambda: not list(cluster.operations.storage.all("placementplans")))
        await meet_a_conflict(cluster)
        for _ in range(2):
            controller.recorder.record(Subject("Namespace", "team-a", "team-a"), "Again", "the same words")
        await cluster.until(lambda: any(e.get("count") == 2 for e in cluster.operations.storage.all("events")))
        cluster.relabel("namespaces", "team-a", "migctl.dev/project", None)
        await cluster.until(lambda: "migctl.dev/project" in _labels(cluster, "team-a"))
        await cluster.node("node-b", "a30")
        await cluster.until(lambda: "1g.6gb" in str(cluster.get("configmaps", "migctl-catalog", "migctl-system")))
        clock.advance(SILENT_S + 1)
        await cluster.until(lambda: not (cluster.get("gpunodes", "node-a") or {})["status"]["ready"])
        assert cluster.operations.authorizer.unused(USER) == []


async def meet_a_conflict(cluster: FakeCluster) -> None:
    """Change a claim without the controller seeing it, then make room for it."""
    claims = cluster.operations.storage.all("resourceclaims")
    waiting = next(c for c in claims if c["metadata"]["ownerReferences"][0]["name"] == "waits")  # for an empty GPU
    name, namespace = waiting["metadata"]["name"], waiting["metadata"]["namespace"]
    cluster.server.faults.events = lambda entries: [e for e in entries if e.stored.object["kind"] != "ResourceClaim"]
    cluster.relabel("resourceclaims", name, "touched", "yes", namespace)
    await cluster.node("node-c", "a100-40gb", "a100-40gb")
    uid = waiting["metadata"]["uid"]
    await cluster.until(lambda: uid in cluster.agents["node-c"].held)
    cluster.server.faults.events = None


def _labels(cluster: FakeCluster, namespace: str) -> Json:
    labels: Json = (cluster.get("namespaces", namespace) or {})["metadata"].get("labels", {})
    return labels


@pytest.mark.parametrize(
    ("plural", "name"), [("gpunodes", "node-b"), ("gpunodes", "node-a")], ids=["another node", "its own"]
)
async def test_an_agent_writes_for_its_own_node_only(plural: str, name: str) -> None:
    cluster = FakeCluster()
    user = User("system:serviceaccount:" + AGENT, "node-a")
    make = cluster.operations.create
    if name == "node-a":
        assert make(user, BY_PLURAL[plural], "", {"metadata": {"name": name}, "spec": {}})
    else:
        with pytest.raises(Refused, match="may not write"):
            make(user, BY_PLURAL[plural], "", {"metadata": {"name": name}, "spec": {}})


@pytest.mark.parametrize("note", ["nomination", "evicted", "excluded", "placed", "nudged"])
async def test_people_do_not_write_the_controllers_notes(note: str) -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.project("team-a")
        with pytest.raises(Refused, match="only migctl's controller"):
            cluster.create("pods", manifests.pod("p", {"gpu-fraction": "0.5", f"migctl.dev/{note}": "x"}), "team-a")
