"""Nodes whose agents are processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.dra.agent_process import AgentProcess
from tests.dra.api_server import ApiServer

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
