"""`node cordon` and `node uncordon`."""

from __future__ import annotations

import json

import pytest

from migctl.objects import GpuNode
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import V100


@pytest.fixture
def two(cli: Cli) -> Cli:
    async def fill(cluster: Cluster) -> None:
        for name in ("node-a", "node-b"):
            await cluster.create(scenes.node(name, scenes.gpu(name, 0, V100)))

    cli.do(fill)
    return cli


def cordoned(cli: Cli) -> list[str]:
    nodes = cli.do(lambda cluster: cluster.list(GpuNode)).items
    return [node.meta.name for node in nodes if node.spec.cordoned]


def test_nodes_are_cordoned_and_taken_back_and_said_to_be_so(two: Cli) -> None:
    assert two.ok("node", "cordon", "node/node-a").out == "node node-a cordoned\n"
    assert two.ok("node", "cordon", "node-a", "node-b").out == "node node-a already cordoned\nnode node-b cordoned\n"
    assert cordoned(two) == ["node-a", "node-b"]
    assert "Ready,Cordoned" in two.ok("list", "nodes").out
    assert json.loads(two.ok("gpus", "-o", "json").out)["gpus"][0]["cordoned"] is True
    assert two.ok("node", "uncordon", "node-b", "node-b").out == "node node-b uncordoned\n"
    assert cordoned(two) == ["node-a"]


def test_nothing_is_done_where_one_of_the_names_is_no_nodes(two: Cli) -> None:
    result = two("node", "cordon", "node-a", "nobody")
    assert (result.code, result.err) == (3, "error: no node is called 'nobody'\nhint: nodes: node-a, node-b\n")
    assert cordoned(two) == []
