"""`node drain`: said before, asked first, by the rules of preemption."""

from __future__ import annotations

import pytest

from migctl.objects import Claim, GpuNode, GpuRequest, WorkloadType
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import V100, Placed


@pytest.fixture
def busy(team: Cli) -> Cli:
    """A training on each of two nodes, and room for one more on node-b."""

    async def fill(cluster: Cluster) -> None:
        gpus = {name: [scenes.gpu(name, index, V100) for index in range(2)] for name in ("node-a", "node-b")}
        for name, there in gpus.items():
            await cluster.create(scenes.node(name, *there))
        for name, node in (("first", "node-a"), ("other", "node-b")):
            await scenes.workload(cluster, name, GpuRequest(), Placed(node, (scenes.whole(gpus[node][0]),)))

    team.do(fill)
    return team


def desk(cli: Cli) -> None:
    """A workspace on node-a's other GPU, which may not be preempted."""
    gpu = scenes.gpu("node-a", 1, V100)
    placed = Placed("node-a", (scenes.whole(gpu),))
    kind = WorkloadType.WORKSPACE
    cli.do(lambda cluster: scenes.workload(cluster, "desk", GpuRequest(), placed, type=kind, preemptible=False))


def left(cli: Cli) -> tuple[set[str], bool]:
    """Who still holds something on node-a, and whether it is cordoned."""
    claims = cli.do(lambda cluster: cluster.list(Claim)).items
    there = {c.spec.workload for c in claims if c.status.allocation and c.status.allocation.node == "node-a"}
    return there, cli.do(lambda cluster: cluster.get(GpuNode, "node-a")).spec.cordoned


def test_what_would_be_stopped_and_where_it_would_go_is_said_before(busy: Cli) -> None:
    shown = busy.ok("node", "drain", "node-a", "--dry-run")
    assert shown.lines[0] == "On node-a (1):"
    assert "team-a/first" in shown.out
    assert "starts on node-b/1 whole" in shown.out
    assert shown.err == "1 pod would be stopped. Nothing was changed\n"
    assert left(busy) == ({"first"}, False)


def test_nobody_to_answer_is_misuse_and_yes_answers(busy: Cli) -> None:
    asked = busy("node", "drain", "node-a")
    assert (asked.code, "hint: add --yes" in asked.err) == (2, True)
    assert left(busy) == ({"first"}, False)
    done = busy.ok("node", "drain", "node/node-a", "--yes").lines
    assert done[-3:] == ["node node-a cordoned", "team-a/first has left", "node node-a drained"]
    assert left(busy) == (set(), True)
    assert busy.ok("node", "drain", "node-a").out == "node node-a drained\n"


def test_what_may_not_be_preempted_refuses_unless_it_is_forced(busy: Cli) -> None:
    desk(busy)
    refused = busy("node", "drain", "node-a", "--yes")
    assert (refused.code, left(busy)) == (4, ({"first", "desk"}, False))
    assert "cause: team-a/desk may not be preempted" in refused.err
    assert (
        "it would be refused: team-a/desk may not be preempted" in busy.ok("node", "drain", "node-a", "--dry-run").err
    )
    busy.ok("node", "drain", "node-a", "--yes", "--force")
    assert left(busy) == (set(), True)


def test_a_drain_that_takes_too_long_says_what_is_left(busy: Cli) -> None:
    async def hold_on(cluster: Cluster) -> None:
        claim = next(c for c in (await cluster.list(Claim)).items if c.spec.workload == "first")
        await cluster.patch(claim, {"meta": {"finalizers": ["test/stays"]}})

    busy.do(hold_on)
    late = busy("node", "drain", "node-a", "--yes", "--timeout", "1s")
    assert late.code == 124
    assert "cause: team-a/first still there" in late.err
    assert "hint: it stays cordoned; the same command goes on" in late.err
    assert busy("node", "drain", "node-a", "--timeout", "abc").code == 2
