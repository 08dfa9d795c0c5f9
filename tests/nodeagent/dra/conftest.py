"""Nodes for the kubelet to call: with an agent that is a process, and with one in this very process."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.nodeagent.dra.harness.agent_process import AgentProcess
from tests.nodeagent.dra.harness.api_server import ApiServer
from tests.nodeagent.dra.harness.node import Node

NewNode = Callable[..., AgentProcess]
_names = itertools.count(1)


@pytest.fixture(scope="session")
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def new_node(api: ApiServer) -> Iterator[NewNode]:
    """Makes nodes of their own; their agents have been started, and end with the test."""
    made: list[AgentProcess] = []

    def new(gpus: str = "a100-40gb=1", **latencies: float) -> AgentProcess:
        made.append(AgentProcess(api, f"node-{next(_names)}", gpus, **latencies))
        made[-1].start()
        return made[-1]

    yield new
    for agent in made:
        agent.end()


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """With one A100; indirect parametrization gives it other GPUs."""
    # Socket paths are short (107 bytes): pytest's own folders, a worker's above all, are too long.
    with tempfile.TemporaryDirectory(prefix="dra-") as directory:
        node = Node(Path(directory), getattr(request, "param", "a100-40gb=1"))
        yield node
        node.stop()
