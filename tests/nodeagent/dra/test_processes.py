"""A kubelet over the real sockets of an agent that is a process, with an API server over real HTTP: killed, too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeagent.simulated_nvml import processes
from solver.model.demand import DeviceShare
from tests.limits import WAIT_S
from tests.nodeagent.dra.conftest import NewNode
from tests.nodeagent.dra.harness.agent_process import AgentProcess
from tests.nodeagent.dra.harness.api_server import ApiServer, until
from tests.nodeagent.machines import mig


def share(node: AgentProcess, profile: str = "2g.10gb", start: int = 0, index: int = 0) -> DeviceShare:
    return mig(node.hardware()[index]["uuid"], profile, start)


def layout(node: AgentProcess, index: int = 0) -> list[tuple[str, int]]:
    return sorted((i["profile"], i["start"]) for i in node.hardware()[index]["instances"])


def instances(node: AgentProcess) -> list[dict[str, Any]]:
    """The first GPU's, as the API server was told."""
    gpus = node.report().get("gpus") or [{"instances": []}]
    found: list[dict[str, Any]] = gpus[0]["instances"]
    return found


def specs(node: AgentProcess) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in node.cdi.glob("*.json")}


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def test_a_killed_agent_registers_again_and_knows_what_it_gave(new_node: NewNode, api: ApiServer) -> None:
    node = new_node()
    uid = api.allocate("survivor", node.node, [share(node)])
    given = node.kubelet.prepare("survivor", uid)
    assert given.error == ""
    written = specs(node)
    node.kill()
    with pytest.raises(grpc.RpcError):
        node.kubelet.register()
    node.start()
    assert len(node.logged("registered with the kubelet")) == 2
    assert node.kubelet.prepare("survivor", uid) == given
    assert (layout(node), specs(node)) == ([("2g.10gb", 0)], written)
    until(lambda: node.held() == [uid])
    assert node.kubelet.unprepare("survivor", uid) == ""
    assert specs(node) == {}


def test_killed_while_the_driver_creates_an_instance(new_node: NewNode, api: ApiServer) -> None:
    node = new_node()
    uid = api.allocate("begun", node.node, [share(node, "3g.20gb", 4)])
    with node.machine.change() as state:
        state["create_s"] = 600.0
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(node.kubelet.prepare, "begun", uid)
        journal = next((node.folder / "s" / "agent" / "gpus").iterdir())
        until(lambda: "intend" in journal.read_text())
        node.kill()
        assert isinstance(answer.exception(WAIT_S), grpc.RpcError)
    with node.machine.change() as state:
        state["create_s"] = 0.0
    node.start()
    assert node.kubelet.prepare("begun", uid).error == ""
    assert layout(node) == [("3g.20gb", 4)]
    assert all(len(i["compute"]) == 1 for i in node.hardware()[0]["instances"])


def test_concurrent_prepares_of_one_claim_give_one_instance(new_node: NewNode, api: ApiServer) -> None:
    node = new_node(create_s=0.2)
    uid = api.allocate("shared", node.node, [share(node)])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: node.kubelet.prepare("shared", uid), range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].error == ""
    assert layout(node) == [("2g.10gb", 0)]


def test_a_claim_over_eight_gpus_keeps_the_deadline_and_is_taken_up_again(new_node: NewNode, api: ApiServer) -> None:
    node = new_node("a100-40gb=8", create_s=4.0)
    uid = api.allocate("wide", node.node, [share(node, "7g.40gb", 0, index) for index in range(8)])
    errors = []

    def prepared() -> bool:
        """A call of a kubelet that waits for 3 s instead of 45; a slow machine may not answer in time at all."""
        try:
            answer = node.kubelet.prepare("wide", uid, within_s=3.0)
        except grpc.RpcError as e:
            errors.append(str(e))
            return False
        errors.append(answer.error)
        return len(answer.devices) == 8

    until(prepared)
    assert errors[-1] == ""
    assert len(errors) > 1
    assert all("still busy to prepare team-a/wide: ask again" in e or "DEADLINE" in e for e in errors[:-1])
    assert [layout(node, index) for index in range(8)] == [[("7g.40gb", 0)]] * 8
    assert len(node.logged("created")) == 8
    assert node.kubelet.unprepare("wide", uid) == ""
    until(lambda: node.held() == [])


def test_a_claim_that_was_replaced_waits_until_the_one_before_is_let_go(new_node: NewNode, api: ApiServer) -> None:
    node = new_node()
    old = api.allocate("twice", node.node, [share(node)])
    assert node.kubelet.prepare("twice", old).error == ""
    api.delete("resourceclaims", "twice", "team-a")
    new = api.allocate("twice", node.node, [share(node)])
    assert "was replaced" in node.kubelet.prepare("twice", old).error
    assert "still held by twice" in node.kubelet.prepare("twice", new).error
    assert node.kubelet.unprepare("twice", old) == ""
    (before,) = node.hardware()[0]["instances"]
    assert node.kubelet.prepare("twice", new).error == ""
    assert node.hardware()[0]["instances"] == [before]
    until(lambda: node.held() == [new])


def test_an_unprepare_that_came_while_the_agent_was_down_is_made_good(new_node: NewNode, api: ApiServer) -> None:
    node = new_node()
    uid = api.allocate("ended", node.node, [share(node)])
    assert node.kubelet.prepare("ended", uid).error == ""
    node.kill()
    with pytest.raises(grpc.RpcError):
        node.kubelet.unprepare("ended", uid)
    api.delete("resourceclaims", "ended", "team-a")
    node.start()
    until(lambda: node.held() == [uid])
    assert node.kubelet.unprepare("ended", uid) == ""
    until(lambda: [(i["state"], i["claim"]) for i in instances(node)] == [("idle", None)])


def test_a_claim_gone_before_its_unprepare_stays_busy_until_its_processes_are_gone(
    new_node: NewNode, api: ApiServer, program: subprocess.Popen[bytes]
) -> None:
    node = new_node()
    uid = api.allocate("killed", node.node, [share(node)])
    assert node.kubelet.prepare("killed", uid).error == ""
    device = node.hardware()[0]["instances"][0]["compute"][0]["uuid"]
    processes.hold(node.machine, device, 1000, pid=program.pid, claim=uid)
    api.delete("resourceclaims", "killed", "team-a")
    node.kubelet.register()  # a reason to report at once
    until(lambda: [p["pid"] for p in node.report().get("processes", ())] == [program.pid])
    assert [(i["state"], i["claim"]) for i in instances(node)] == [("busy", uid)]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(node.kubelet.unprepare, "killed", uid)
        assert node.held() == [uid]
        program.kill()
        program.wait()
        answer.result(WAIT_S)
    until(lambda: node.kubelet.unprepare("killed", uid) == "")
    until(lambda: [(i["state"], i["claim"]) for i in instances(node)] == [("idle", None)])


def test_a_second_agent_is_told_which_process_works_there(new_node: NewNode, tmp_path: Path) -> None:
    node = new_node()
    places = ("state_dir", "kubelet_root", "cdi_dir")
    own = {shared: {n: tmp_path / shared / n for n in places if n != shared} for shared in places}
    seconds = [node.begin(**directories) for directories in own.values()]
    assert [second.wait(WAIT_S) for second in seconds] == [1, 1, 1]
    said = [line for line in node.printed().splitlines() if line.startswith("error:")]
    assert len(said) == 3
    for line in said:
        assert f"another node agent (process {node.pid}) works on {node.folder}" in line
        assert "stop it first" in line
    node.kubelet.register()


def test_what_the_agent_says_goes_to_where_it_belongs(new_node: NewNode, api: ApiServer) -> None:
    """GpuNode, ResourceSlices, probes and metrics; slices that a kubelet removed come back; leaving is said."""
    node = new_node("a100-40gb=1,v100=1")
    uid = api.allocate("seen", node.node, [share(node)])
    assert node.kubelet.prepare("seen", uid).error == ""
    until(lambda: node.held() == [uid])
    until(lambda: "gpu-0-2g-10gb-0" in [d["name"] for d in api.devices(node.node)])
    for name in [s["metadata"]["name"] for s in api.call(lambda o: list(o.storage.all("resourceslices")))]:
        api.delete("resourceslices", name)
    node.kubelet.register()
    until(lambda: len(api.devices(node.node)) == 3)
    assert (node.probe("/healthz"), node.probe("/readyz")) == ("ok\n", "ok\n")
    assert 'migctl_mig_instances{gpu="' in node.probe("/metrics")
    assert node.stop() == 0
    status = api.gpu_node(node.node) or {}
    assert (status["ready"], status["message"]) == (False, "the node agent was stopped")
    assert not os.path.lexists(node.folder / "k" / "plugins_registry" / "gpu.migctl.dev-reg.sock")


def test_while_the_api_server_is_down_claims_wait_and_reports_follow(new_node: NewNode, api: ApiServer) -> None:
    node = new_node()
    uid = api.allocate("late", node.node, [share(node)])
    until(lambda: node.report())
    api.down(True)
    try:
        assert "cannot be read" in node.kubelet.prepare("late", uid).error
        assert node.kubelet.unprepare("late", uid) == ""
    finally:
        api.down(False)
    assert node.kubelet.prepare("late", uid).error == ""
    until(lambda: node.held() == [uid])
