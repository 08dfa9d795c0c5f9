"""What an agent publishes of its GPUs, over HTTP: GpuNode, ResourceSlices, and when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.contract.allocation import Allocation, GpuProcess, NodeReport
from nodeagent.contract.merge_patch import difference
from nodeagent.contract.wire import report_from_json
from nodeagent.gpu.events import AgentEvent, EventKind
from nodeagent.kubernetes.client import ApiError, ApiUnreachable, KubernetesClient
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from nodeagent.kubernetes.kubeconfig import from_kubeconfig
from nodeagent.kubernetes.publisher import HEARTBEAT_S, Publisher
from nodeagent.kubernetes.slice_store import SliceStore
from nodeagent.kubernetes.slices import DEVICES_PER_SLICE, specs
from solver.model.cluster import InstanceState
from tests.fakes.kubernetes_api import patches
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.faults import Call
from tests.fakes.kubernetes_api.rules import LABEL
from tests.nodeagent.dra.harness.api_server import ApiServer, until
from tests.nodeagent.machines import NODE, Machine, allocation, fill, mig, part

NOW = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
LATER = datetime(2030, 1, 2, 3, 5, tzinfo=UTC)
OWNER = {"apiVersion": "migctl.dev/v1alpha1", "kind": "GpuNode", "name": NODE, "uid": "uid-of-node"}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def api(server: ApiServer, tmp_path: Path) -> Iterator[KubernetesClient]:
    """As the node's agent, with the permissions of the manifests."""
    api = KubernetesClient(from_kubeconfig(server.kubeconfig(tmp_path / "kubeconfig", NODE)))
    yield api
    api.close()


@pytest.fixture
def report(tmp_path: Path) -> NodeReport:
    """An A100 with a busy and an idle instance, a V100 with a share."""
    machine = Machine(tmp_path / "m", "a100-40gb=1,v100=1")
    agent = machine.agent()
    agent.prepare(allocation("a", mig(machine.gpu(0), "2g.10gb", 0)))
    agent.prepare(allocation("b", mig(machine.gpu(0), "1g.5gb", 4)))
    agent.unprepare("b")
    agent.prepare(allocation("c", part(machine.gpu(1), 8080)))
    return agent.report()


def status(server: ApiServer) -> dict[str, Any]:
    found = server.gpu_node(NODE)
    assert found is not None
    return found


def test_a_node_is_made_and_says_what_the_report_says(
    server: ApiServer, api: KubernetesClient, report: NodeReport
) -> None:
    node = GpuNodeWriter(api, NODE)
    node.publish(report, NOW)
    said = status(server)
    assert report_from_json(said["report"]) == report
    assert (said["ready"], said["message"], said["reported"]) == (True, "", "2030-01-02T03:04:05.000678Z")


def test_changes_follow_and_what_went_away_goes(server: ApiServer, api: KubernetesClient, report: NodeReport) -> None:
    node = GpuNodeWriter(api, NODE)
    node.publish(replace(report, notes={"GPU 3": "does not answer", "a": "oversteps"}), NOW)
    fewer = replace(report, gpus=report.gpus[:1], notes={"a": "oversteps"}, allocations=())
    node.publish(fewer, LATER)
    assert report_from_json(status(server)["report"]) == fewer
    assert status(server)["reported"] == "2030-01-02T03:05:00.000000Z"


def test_a_node_that_somebody_deleted_or_changed_is_made_right_again(
    server: ApiServer, api: KubernetesClient, report: NodeReport
) -> None:
    node = GpuNodeWriter(api, NODE)
    node.publish(report, NOW)
    before = node.uid
    server.delete("gpunodes", NODE)
    node.publish(report, LATER)
    assert report_from_json(status(server)["report"]) == report
    assert node.uid != before
    GpuNodeWriter(api, NODE).publish(
        replace(report, allocations=(Allocation("somebody-elses", "pod", "team-a", NODE, ()),)), NOW
    )
    node.publish(report, LATER)  # hears what is stored
    node.publish(report, LATER)
    assert report_from_json(status(server)["report"]) == report


def test_leaving_is_said_beside_the_last_report(server: ApiServer, api: KubernetesClient, report: NodeReport) -> None:
    node = GpuNodeWriter(api, NODE)
    node.publish(report, NOW)
    node.leave("the node agent was stopped")
    said = status(server)
    assert (said["ready"], said["message"]) == (False, "the node agent was stopped")
    assert report_from_json(said["report"]) == report
    node.publish(report, LATER)
    assert status(server)["ready"] is True


def test_a_cluster_without_the_custom_resources_says_what_to_install(
    server: ApiServer, api: KubernetesClient, report: NodeReport
) -> None:
    def unknown(call: Call) -> Refused | None:
        return Refused(404, "NotFound", "page not found") if "gpunodes" in call.path else None

    server.fail(unknown)
    with pytest.raises(ApiError, match="install migctl's custom resources"):
        GpuNodeWriter(api, NODE).publish(report, NOW)


_json = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
_objects = st.dictionaries(st.sampled_from("abcd"), _json, max_size=4)


@given(_objects, _objects)
def test_a_merge_patch_makes_one_of_the_other_and_is_empty_between_equals(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert patches.apply(before, difference(before, after), "application/merge-patch+json") == after
    assert difference(after, after) == {}


def slices(server: ApiServer) -> list[dict[str, Any]]:
    return sorted(server.call(lambda o: list(o.storage.all("resourceslices"))), key=lambda s: str(s["metadata"]))


def test_slices_name_every_device_and_are_written_only_when_they_change(
    server: ApiServer, api: KubernetesClient, report: NodeReport
) -> None:
    store = SliceStore(api, NODE)
    assert store.replace(specs(report), OWNER)
    assert not store.replace(specs(report), OWNER)
    assert not SliceStore(api, NODE).replace(specs(report), OWNER), "a new start knows its slices again"
    devices = {d["name"]: d for d in server.devices(NODE)}
    assert set(devices) == {"gpu-0", "gpu-0-2g-10gb-0", "gpu-0-1g-5gb-4", "gpu-1", "gpu-1-share"}
    assert all(LABEL.fullmatch(name) for name in devices)
    assert devices["gpu-0-1g-5gb-4"]["attributes"]["state"] == {"string": "idle"}
    assert devices["gpu-1-share"]["capacity"] == {"memory": {"value": "8080Mi"}}
    assert all([t["effect"] for t in d["taints"]] == ["NoSchedule"] for d in devices.values())
    (stored,) = slices(server)
    assert stored["metadata"]["ownerReferences"] == [OWNER]


def test_a_device_in_trouble_is_tainted_and_the_pools_generation_grows(
    server: ApiServer, api: KubernetesClient, report: NodeReport
) -> None:
    store = SliceStore(api, NODE)
    store.replace(specs(report), OWNER)
    (first,) = slices(server)
    fenced = replace(report, gpus=(replace(report.gpus[0], fenced="XID 79"), report.gpus[1]))
    assert store.replace(specs(fenced), OWNER)
    (second,) = slices(server)
    assert second["spec"]["pool"]["generation"] == first["spec"]["pool"]["generation"] + 1
    keys = {d["name"]: [t["key"] for t in d["taints"]] for d in second["spec"]["devices"]}
    assert "migctl.dev/unhealthy" in keys["gpu-0-2g-10gb-0"]
    assert "migctl.dev/unhealthy" not in keys["gpu-1"]


def test_many_devices_make_several_slices_of_one_generation_and_leave_none_behind(
    server: ApiServer, api: KubernetesClient, tmp_path: Path
) -> None:
    machine = Machine(tmp_path / "m", "a100-40gb=16")
    agent = machine.agent()
    few = agent.report()
    fill(agent, machine, gpus=16)
    many = agent.report()
    other = KubernetesClient(from_kubeconfig(server.kubeconfig(tmp_path / "other", "node-10")))
    for node, by in ((NODE, api), ("node-10", other)):
        SliceStore(by, node).replace(specs(replace(many, node=node)), {**OWNER, "name": node})
    other.close()
    assert len(server.devices(NODE)) == 16 * 8
    ours = [s["spec"] for s in slices(server) if s["spec"]["nodeName"] == NODE]
    assert [len(spec["devices"]) for spec in ours] == [DEVICES_PER_SLICE, DEVICES_PER_SLICE]
    assert {(s["pool"]["generation"], s["pool"]["resourceSliceCount"]) for s in ours} == {(1, 2)}
    SliceStore(api, NODE).replace(specs(few), OWNER)
    assert len(server.devices(NODE)) == 16
    assert len(slices(server)) == 3, "another node's slices are its own"


class Published:
    """A Publisher whose time passes as it is told, and what came of it."""

    def __init__(self, server: ApiServer, api: KubernetesClient) -> None:
        self.server, self.now = server, 1000.0
        self.seen: list[NodeReport] = []
        self.publisher = Publisher(
            GpuNodeWriter(api, NODE),
            SliceStore(api, NODE),
            self.seen.append,
            every_s=600,
            clock=lambda: self.now,
            now=lambda: datetime.fromtimestamp(self.now, UTC),
        )

    def at(self) -> float:
        """When the node was last written."""
        return datetime.fromisoformat(status(self.server)["reported"]).timestamp()


def test_what_changed_is_told_at_once_and_the_rest_is_a_heartbeat(
    server: ApiServer, api: KubernetesClient, report: NodeReport
) -> None:
    it = Published(server, api)
    it.publisher.step(report)
    assert it.at() == 1000
    it.now += 5
    it.publisher.step(replace(report, processes=(GpuProcess(report.gpus[0].uuid, 1, 10),)))
    assert it.at() == 1000
    it.publisher.step(replace(report, allocations=(), generation=report.generation + 1))
    assert it.at() == 1005
    it.now += HEARTBEAT_S
    it.publisher.step(replace(report, allocations=(), generation=report.generation + 1))
    assert it.at() == 1025
    it.publisher.soon()
    it.now += 1
    it.publisher.step(replace(report, allocations=(), generation=report.generation + 1))
    assert it.at() == 1026
    assert len(it.seen) == 5


def test_an_older_report_never_takes_a_newer_ones_place(
    server: ApiServer, api: KubernetesClient, report: NodeReport
) -> None:
    it = Published(server, api)
    it.publisher.step(replace(report, generation=7, allocations=()))
    it.now += 2 * HEARTBEAT_S
    it.publisher.step(replace(report, generation=6))
    assert (it.at(), status(server)["report"]["allocations"]) == (1000, [])


def test_what_could_not_be_published_is_published_with_the_next_look(
    server: ApiServer, api: KubernetesClient, report: NodeReport
) -> None:
    it = Published(server, api)
    server.down(True)
    with pytest.raises(ApiUnreachable):
        it.publisher.step(report)
    server.down(False)
    it.publisher.step(report)
    assert report_from_json(status(server)["report"]) == report
    assert len(server.devices(NODE)) == 5


def test_the_thread_looks_when_told_and_takes_what_is_offered(
    server: ApiServer, api: KubernetesClient, report: NodeReport
) -> None:
    it = Published(server, api)
    looks: list[int] = []

    def look() -> NodeReport:
        looks.append(len(looks))
        return replace(report, generation=10 * len(looks), notes={"look": str(len(looks))})

    def told(note: str) -> None:
        until(lambda: ((server.gpu_node(NODE) or {}).get("report") or {}).get("notes", {}).get("look") == note)

    it.publisher.start(look)
    told("1")
    it.publisher.offer(replace(report, generation=15, notes={"look": "offered"}))
    told("offered")
    it.publisher.observer(AgentEvent(EventKind.PREPARED))
    told("2")
    it.publisher.observer(AgentEvent(EventKind.REFUSED))
    it.publisher.offer(replace(report, generation=20, notes={"look": "last"}))
    told("last")
    assert it.publisher.loop.is_healthy()
    it.publisher.stop("over")
    assert (status(server)["ready"], status(server)["message"]) == (False, "over")
    assert looks == [0, 1]


def test_a_quarantined_instance_says_so(report: NodeReport) -> None:
    gpu = report.gpus[0]
    stuck = tuple(replace(i, state=InstanceState.QUARANTINED) for i in gpu.instances)
    (page,) = specs(replace(report, gpus=(replace(gpu, instances=stuck),)))
    assert "quarantined" in json.dumps(page)
    assert [len(d["taints"]) for d in page["devices"]] == [1, 2, 2]
