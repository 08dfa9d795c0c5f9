"""The desired MIG mode of a GpuNode: set by the node's agent, and what its status says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from nodeagent.agent import Agent
from nodeagent.kubernetes.client import KubernetesClient
from nodeagent.kubernetes.dynamic_mig import ModeReconciler
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from nodeagent.kubernetes.kubeconfig import from_kubeconfig
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.users import ADMIN
from tests.nodeagent.dra.harness.api_server import ApiServer
from tests.nodeagent.machines import NODE, Machine, allocation, whole

MERGE = "application/merge-patch+json"


class Node:
    """A node that has published its GPUs; its agent has the permissions of the manifests."""

    def __init__(self, server: ApiServer, folder: Path, gpus: str) -> None:
        self._server = server
        self.machine = Machine(folder / "machine", gpus)
        self.agent: Agent = self.machine.agent()
        self.api = KubernetesClient(from_kubeconfig(server.kubeconfig(folder / "kubeconfig", NODE)))
        self.gpu_node = GpuNodeWriter(self.api, NODE)
        self.news: list[str] = []
        self.reconciler = ModeReconciler(self.gpu_node, self.agent.gpus, lambda: self.news.append("changed"))

    def beat(self) -> None:
        """A heartbeat, and what follows from it."""
        self.gpu_node.publish(self.agent.report(), datetime.now(UTC))
        self.reconciler.step()
        self.reconciler.step()

    def desire(self, on: bool | None, gpus: Mapping[str, bool | None] = MappingProxyType({})) -> None:
        patch = {"spec": {"dynamicMig": on, "gpuDynamicMig": dict(gpus)}}
        self._server.call(lambda o: o.patch(ADMIN, BY_PLURAL["gpunodes"], "", NODE, patch, MERGE))

    def status(self) -> Any:
        return self.api.get(f"/apis/migctl.dev/v1alpha1/gpunodes/{NODE}")["status"].get("dynamicMig")

    def status_of_gpus(self) -> Any:
        return self.api.get(f"/apis/migctl.dev/v1alpha1/gpunodes/{NODE}")["status"].get("gpuDynamicMig")

    def on(self) -> bool:
        return self.agent.report().gpus[0].mig

    def modes(self) -> list[bool]:
        return [gpu.mig for gpu in self.agent.report().gpus]


@contextmanager
def published(folder: Path, gpus: str) -> Iterator[Node]:
    folder.joinpath("machine").mkdir()
    with ApiServer() as server:
        node = Node(server, folder, gpus)
        node.beat()
        yield node
        node.api.close()


@pytest.fixture
def h100(tmp_path: Path) -> Iterator[Node]:
    with published(tmp_path, "h100:nomig") as node:
        yield node


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Node]:
    with published(tmp_path, "h100:nomig=2") as node:
        yield node


def test_a_desired_mode_is_set_once_and_reported(h100: Node) -> None:
    h100.beat()
    assert (h100.on(), h100.status(), h100.news) == (False, None, [])
    h100.desire(True)
    h100.reconciler.step()
    assert not h100.on(), "a desired mode arrives with a heartbeat"
    h100.beat()
    assert (h100.on(), h100.status()) == (True, {"wanted": True, "outcome": "done", "message": ""})
    h100.beat()
    assert h100.news == ["changed"]
    h100.desire(False)
    h100.beat()
    assert (h100.on(), h100.status()["wanted"]) == (False, False)


def test_a_gpu_in_use_refuses_and_is_switched_when_it_is_free(h100: Node) -> None:
    gpu = h100.machine.gpu()
    h100.agent.prepare(allocation("c1", whole(gpu, 81559)))
    h100.desire(True)
    h100.beat()
    refused = h100.status()
    assert (h100.on(), refused["outcome"], "c1" in refused["message"]) == (False, "refused", True)
    h100.agent.unprepare("c1")
    h100.beat()
    assert (h100.on(), h100.status()["outcome"]) == (True, "done")


def test_without_a_desired_mode_the_mode_stays_and_the_status_is_empty(h100: Node) -> None:
    h100.desire(True)
    h100.beat()
    h100.desire(None)
    h100.beat()
    assert (h100.on(), h100.status()) == (True, None)


def test_a_gpu_has_a_mode_of_its_own_until_it_follows_the_node_again(two: Node) -> None:
    second = two.machine.gpu(1)
    done = {"wanted": True, "outcome": "done", "message": ""}
    two.desire(None, {second: True})
    two.beat()
    assert (two.modes(), two.status(), two.status_of_gpus()) == ([False, True], None, {second: done})
    two.desire(False)
    two.beat()
    assert (two.modes(), two.status()) == ([False, True], {**done, "wanted": False})
    two.beat()
    assert two.news == ["changed", "changed"], "what is done is not written again"
    two.desire(False, {second: None})
    two.beat()
    assert (two.modes(), two.status(), two.status_of_gpus()) == ([False, False], {**done, "wanted": False}, {})


def test_a_gpu_that_there_is_not_is_refused_and_keeps_nothing_back(two: Node) -> None:
    two.desire(True, {"GPU-gone": True})
    two.beat()
    assert (two.modes(), two.status()["outcome"]) == ([True, True], "done")
    assert two.status_of_gpus()["GPU-gone"] == {
        "wanted": True, "outcome": "refused", "message": f"node {NODE} has no GPU GPU-gone"
    }  # fmt: skip
