"""`node-pool` and `node set --node-pool|--label`: pools are made, filled, seen, and refused in words."""

from __future__ import annotations

import json

import pytest

from migctl.objects import GpuNode, NodePool
from solver.model.snapshot import MemoryRule, Spreading
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import V100


@pytest.fixture
def two(team: Cli) -> Cli:
    async def fill(cluster: Cluster) -> None:
        for name in ("node-a", "node-b"):
            await cluster.create(scenes.node(name, scenes.gpu(name, 0, V100)))

    team.do(fill)
    return team


def rows(cli: Cli) -> dict[str, list[str]]:
    found = json.loads(cli.ok("node-pool", "list", "-o", "json").out)["items"]
    return {pool["meta"]["name"]: pool["figures"]["nodes"] for pool in found}


def test_nodes_come_into_a_pool_by_name_and_by_label(two: Cli) -> None:
    assert rows(two) == {"default": ["node-a", "node-b"]}
    assert two.ok("node-pool", "create", "big").out == "Created node pool big\n"
    assert two.ok("node", "set", "node-a", "--node-pool", "big").out == "Updated node node-a\n"
    assert two.ok("nodepool", "create", "labelled", "--label", "gpu=v100", "--placement", "spread").err == ""
    assert rows(two) == {"big": ["node-a"], "default": ["node-b"], "labelled": []}
    two.ok("node", "set", "node-b", "--label", "gpu=v100", "--label", "rack=7")
    assert rows(two) == {"big": ["node-a"], "default": [], "labelled": ["node-b"]}
    two.ok("node", "set", "node-b", "--label", "gpu-")
    assert two.do(lambda cluster: cluster.get(GpuNode, "node-b")).meta.labels == {"rack": "7"}


def test_the_placement_of_every_pool_can_be_set_and_is_shown(two: Cli) -> None:
    assert two.ok("node-pool", "list", "--no-headers").out.split()[:2] == ["default", "binpack"]
    assert two.ok("node-pool", "set", "default", "--placement", "spread").out == "Updated node pool default\n"
    assert two.do(lambda cluster: cluster.get(NodePool, "default")).spec.placement is Spreading.SPREAD
    assert two.ok("node-pool", "list", "--no-headers").out.split()[:2] == ["default", "spread"]
    two.ok("node-pool", "set", "default", "--placement", "binpack", "--label", "a=b")
    stored = two.do(lambda cluster: cluster.get(NodePool, "default")).spec
    assert (stored.placement, stored.label_key, stored.label_value) == (Spreading.BINPACK, "a", "b")
    two.ok("node-pool", "set", "default", "--no-label")
    assert two.do(lambda cluster: cluster.get(NodePool, "default")).spec.label_key == ""


def test_the_memory_rule_of_every_pool_can_be_set_and_is_shown(two: Cli) -> None:
    def shown(pool: str) -> str:
        (row,) = [row for row in two.ok("node-pool", "list", "--no-headers").out.splitlines() if row.startswith(pool)]
        return row.split()[2]

    assert shown("default") == "proportional"
    two.ok("node-pool", "set", "default", "--memory-rule", "least-compute")
    assert two.do(lambda cluster: cluster.get(NodePool, "default")).spec.memory_rule is MemoryRule.LEAST_COMPUTE
    assert shown("default") == "least-compute"
    two.ok("node-pool", "create", "thrifty", "--memory-rule", "least-compute")
    two.ok("node-pool", "set", "thrifty", "--placement", "spread")
    assert shown("thrifty") == "least-compute"
    two.ok("node-pool", "set", "thrifty", "--memory-rule", "proportional")
    items = json.loads(two.ok("node-pool", "list", "-o", "json").out)["items"]
    rules = {item["meta"]["name"]: item["spec"].get("memoryRule") for item in items}
    assert rules == {"default": "least-compute", "thrifty": None}, "a default is left out"
    assert shown("thrifty") == "proportional"


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (3, "node set node-a --node-pool nobody", "no node pool is called 'nobody'"),
        (3, "node-pool set nobody --placement spread", "no node pool is called 'nobody'"),
        (3, "submit -g 0.5 --node-pools nobody", "no node pool is called 'nobody'"),
        (3, "project update team-a --pool nobody=1", "no node pool is called 'nobody'"),
        (2, "node-pool create Big", "'Big' is no name"),
        (2, "node-pool create big --label gpu", "--label 'gpu' is no label"),
        (2, "node-pool create big --label a/b/c=d", "is no label's name"),
        (2, "node-pool set default", "nothing to set"),
        (2, "node-pool set default --placement best", "binpack"),
        (2, "node-pool set default --memory-rule most", "least-compute"),
        (2, "node set node-a --label gpu", "--label 'gpu' is no label"),
        (2, "node set node-a --label a/b/c=d", "is no label's name"),
        (4, "node-pool create taken", "there is a node pool 'taken' already"),
        (4, "node-pool delete taken", "node pool taken still has 1 node(s): node-b"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(two: Cli, code: int, words: str, said: str) -> None:
    two.ok("node-pool", "create", "taken")
    two.ok("node", "set", "node-b", "--node-pool", "taken")
    result = two(*words.split())
    assert (result.code, said in result.err) == (code, True), result


def test_a_pool_that_a_quota_names_stays_until_the_quota_goes(two: Cli) -> None:
    two.ok("node-pool", "create", "big")
    two.ok("project", "update", "team-a", "--pool", "big=1")
    refused = two("node-pool", "delete", "big")
    assert (refused.code, "migctl project update team-a --pool big=" in refused.err) == (4, True)
    two.ok("project", "update", "team-a", "--pool", "big=")
    assert two.ok("node-pool", "delete", "nodepool/big").out == "Deleted node pool big\n"
