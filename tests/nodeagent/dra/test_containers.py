"""A claim with a request for each container: every container gets its own devices, limits and accounts only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nodeagent.contract import environment
from nodeagent.contract.holders import by_claims
from nodeagent.dra.stubs import dra_pb2
from tests.nodeagent.cdi import cdi_specs
from tests.nodeagent.dra.harness.node import Node
from tests.nodeagent.machines import allocation, mig, part, whole

FIRST, SECOND = "gpu-0", "gpu-1"
two_gpus = pytest.mark.parametrize("node", ["v100=2"], indirect=True)
one_gpu = pytest.mark.parametrize("node", ["v100=1"], indirect=True)


def passed(answer: dra_pb2.NodePrepareResourceResponse, request: str) -> list[str]:
    """The CDI devices that a kubelet passes to a container that names a request of the claim."""
    return [name for device in answer.devices if request in device.request_names for name in device.cdi_device_ids]


def variables(node: Node, answer: dra_pb2.NodePrepareResourceResponse, request: str) -> dict[str, str]:
    """The variables of such a container."""
    (name,) = passed(answer, request)
    edits: dict[str, Any] = spec(node, name)["containerEdits"]
    return dict(line.split("=", 1) for line in edits["env"])


def spec(node: Node, name: str) -> dict[str, Any]:
    _, _, device = name.partition("=")
    (found,) = json.loads((node.cdi / f"gpu.migctl.dev-claim_{device}.json").read_text())["devices"]
    assert found["name"] == device
    return dict(found)


@two_gpus
def test_each_container_sees_its_own_gpu_only(node: Node) -> None:
    """Both containers of a pod saw the GPUs of both."""
    first, second = node.machine.gpu(0), node.machine.gpu(1)
    node.allocate_to_containers("pod", "uid-1", [(FIRST, whole(first)), (SECOND, whole(second))])
    answer = node.prepare("pod", "uid-1")
    assert answer.error == ""
    cdi_specs.validate(node.cdi)
    assert variables(node, answer, FIRST)[environment.CUDA_DEVICES] == first
    assert variables(node, answer, SECOND)[environment.CUDA_DEVICES] == second
    assert by_claims(node.agent.report()).held == ("uid-1",)
    assert [gpu.held_by for gpu in by_claims(node.agent.report()).gpus] == ["uid-1", "uid-1"]


def test_each_container_gets_its_own_instances_of_one_gpu(node: Node) -> None:
    gpu = node.machine.gpu()
    node.allocate_to_containers("pod", "uid-1", [(FIRST, mig(gpu, "3g.20gb", 4)), (SECOND, mig(gpu, "1g.5gb", 0))])
    answer = node.prepare("pod", "uid-1")
    instances = {i.profile: i.uuid for i in node.agent.report().gpus[0].instances}
    assert variables(node, answer, FIRST)[environment.CUDA_DEVICES] == instances["3g.20gb"]
    assert variables(node, answer, SECOND)[environment.CUDA_DEVICES] == instances["1g.5gb"]
    assert {i.claim for i in by_claims(node.agent.report()).gpus[0].instances} == {"uid-1"}


@one_gpu
def test_each_container_has_the_limits_of_its_own_share(node: Node) -> None:
    gpu = node.machine.gpu()
    node.allocate_to_containers("pod", "uid-1", [(FIRST, part(gpu, 8080)), (SECOND, part(gpu, 4040, 0.25))])
    answer = node.prepare("pod", "uid-1")
    limits = {}
    for request in (FIRST, SECOND):
        (name,) = passed(answer, request)
        (mount,) = [m for m in spec(node, name)["containerEdits"]["mounts"] if m["containerPath"].endswith(".json")]
        limits[request] = json.loads(Path(mount["hostPath"]).read_text())["devices"][gpu]["memory_mib"]
    assert limits == {FIRST: 8080, SECOND: 4040}


@one_gpu
def test_the_processes_of_two_containers_count_for_their_own_request(node: Node) -> None:
    gpu = node.machine.gpu()
    node.allocate_to_containers("pod", "uid-1", [(FIRST, part(gpu, 8080)), (SECOND, part(gpu, 4040, 0.25))])
    answer = node.prepare("pod", "uid-1")
    names = [variables(node, answer, request)[environment.CLAIM] for request in (FIRST, SECOND)]
    for pid, name, mib in zip((os.getpid(), os.getppid()), names, (6000, 1000), strict=True):
        node.machine.occupy(gpu, mib, pid, name)
    report = node.agent.report()
    used = {process.claim: process.memory_mib for process in report.processes}
    assert used == {"uid-1.gpu-0": 6000, "uid-1.gpu-1": 1000}
    assert {process.claim for process in by_claims(report).processes} == {"uid-1"}


@two_gpus
def test_all_requests_are_prepared_or_none(node: Node) -> None:
    first, second = node.machine.gpu(0), node.machine.gpu(1)
    node.allocate("other", "uid-2", whole(second))
    assert node.prepare("other", "uid-2").error == ""
    node.allocate_to_containers("pod", "uid-1", [(FIRST, whole(first)), (SECOND, whole(second))])
    assert "still held" in node.prepare("pod", "uid-1").error
    assert node.held() == ("uid-2",)
    assert len(list(node.cdi.iterdir())) == 1
    assert node.unprepare("other", "uid-2") == ""
    assert node.prepare("pod", "uid-1").error == ""


@two_gpus
def test_unprepare_releases_every_request_also_after_a_new_start(node: Node) -> None:
    shares = [(FIRST, whole(node.machine.gpu(0))), (SECOND, whole(node.machine.gpu(1)))]
    node.allocate_to_containers("pod", "uid-1", shares)
    before = node.prepare("pod", "uid-1")
    content = {path.name: path.read_bytes() for path in node.cdi.iterdir()}
    node.stop()
    for path in node.cdi.iterdir():
        path.unlink()
    node.start()
    assert {path.name: path.read_bytes() for path in node.cdi.iterdir()} == content
    again = node.prepare("pod", "uid-1")
    assert [passed(again, request) for request in (FIRST, SECOND)] == [
        passed(before, request) for request in (FIRST, SECOND)
    ]
    assert node.unprepare("pod", "uid-1") == ""
    assert (node.held(), list(node.cdi.iterdir())) == ((), [])


@two_gpus
def test_a_claim_of_an_older_version_goes_on_as_it_was(node: Node) -> None:
    """Its one request is for all containers."""
    shares = [("gpu", whole(node.machine.gpu(index))) for index in (0, 1)]
    node.allocate_to_containers("pod", "uid-1", shares)
    answer = node.prepare("pod", "uid-1")
    assert passed(answer, "gpu") == ["gpu.migctl.dev/claim=uid-1"]
    assert node.held() == ("uid-1",)


@two_gpus
def test_what_an_older_agent_prepared_whole_stays_whole(node: Node) -> None:
    shares = [(FIRST, whole(node.machine.gpu(0))), (SECOND, whole(node.machine.gpu(1)))]
    node.allocate_to_containers("pod", "uid-1", shares)
    node.agent.prepare(allocation("uid-1", *(share for _, share in shares)))
    answer = node.prepare("pod", "uid-1")
    assert answer.error == ""
    assert [passed(answer, request) for request in (FIRST, SECOND)] == [["gpu.migctl.dev/claim=uid-1"]] * 2
    assert node.unprepare("pod", "uid-1") == ""
    assert (node.held(), list(node.cdi.iterdir())) == ((), [])
