"""What an admin does with nodes: cordon them, drain them, take them into use again."""

from __future__ import annotations

from collections.abc import Callable

from migctl.objects import Event, Phase
from tests.e2e.embedded import HOLD, Embedded


def placed(one: Embedded, name: str) -> str:
    """The node of a workload's pod that runs."""
    allocation = one.running(name)[name].status.allocation
    assert allocation is not None
    return allocation.node


def test_nothing_new_goes_to_a_cordoned_node_and_what_runs_there_stays(embedded: Callable[[str], Embedded]) -> None:
    two = embedded("node-a:v100=1,node-b:v100=1")
    two.ok("submit", "first", "-p", "default", "-g", "1", *HOLD)
    node = placed(two, "first")
    other = {"node-a": "node-b", "node-b": "node-a"}[node]
    two.ok("node", "cordon", "node-a", "node-b")
    two.ok("submit", "second", "-p", "default", "-g", "1", *HOLD)
    two.until("it says why", lambda: "node-a is cordoned, node-b is cordoned" in two.workload("second").status.message)
    assert "node-a is cordoned" in two.ok("why", "second", "-p", "default")
    two.ok("node", "uncordon", node)
    two.until("the other is named", lambda: f"{other} could serve it" in two.workload("second").status.message)
    assert two.status("first") is Phase.RUNNING
    two.ok("node", "uncordon", other)
    assert placed(two, "second") == other
    assert {"NodeNotSchedulable", "NodeSchedulable"} <= {event.spec.reason for event in two.look(Event)}


def test_drained_work_goes_on_elsewhere_and_what_may_not_be_preempted_is_asked_about(
    embedded: Callable[[str], Embedded],
) -> None:
    two = embedded("node-a:v100=1,node-b:v100=2")
    two.ok("project", "create", "team-a", "--quota", "3")
    two.ok("submit", "desk", "-p", "team-a", "-g", "1", "--interactive", *HOLD)
    node = placed(two, "desk")
    assert "team-a/desk may not be preempted" in two.fails(4, "node", "drain", node, "--yes")
    two.ok("node", "drain", node, "--yes", "--force")
    assert placed(two, "desk") != node
    two.ok("node", "uncordon", node)
    two.ok("delete", "desk", "-p", "team-a")
    two.until("it is gone", lambda: not two.names())

    two.ok("submit", "train", "-p", "team-a", "-g", "1", "--backoff-limit", "0", *HOLD)
    first = placed(two, "train")
    assert "1 pod would be stopped" in two.run("node", "drain", first, "--dry-run").stderr
    said = two.ok("node", "drain", first, "--yes")
    assert said.endswith(f"node {first} cordoned\nteam-a/train has left\nnode {first} drained\n")
    assert placed(two, "train") != first
    assert [event.spec.message for event in two.look(Event) if event.spec.reason == "Drained"][-1:] == [
        f"node {first} is drained"
    ]


def test_a_pool_is_packed_or_spread_and_has_its_labelled_nodes(embedded: Callable[[str], Embedded]) -> None:
    three = embedded("node-a:v100=1,node-b:v100=1,node-c:v100=1")
    three.ok("node-pool", "create", "racks", "--label", "rack=7", "--placement", "spread")
    for node in ("node-a", "node-b"):
        three.ok("node", "set", node, "--label", "rack=7")
    for number in range(2):
        three.ok("submit", f"spread-{number}", "-p", "default", "-g", "0.25", "--node-pools", "racks", *HOLD)
        placed(three, f"spread-{number}")
    assert {placed(three, f"spread-{number}") for number in range(2)} == {"node-a", "node-b"}
    three.ok("node-pool", "set", "racks", "--placement", "binpack")
    for number in range(2):
        three.ok("submit", f"packed-{number}", "-p", "default", "-g", "0.25", "--node-pools", "racks", *HOLD)
        placed(three, f"packed-{number}")
    assert len({placed(three, f"packed-{number}") for number in range(2)}) == 1
    three.kill()
    three.ok("up", "--detach")
    assert three.json("node-pool", "list")["items"][-1]["figures"]["nodes"] == ["node-a", "node-b"]


def test_a_pool_says_which_instance_serves_memory(embedded: Callable[[str], Embedded]) -> None:
    a100 = embedded("a100-40gb=1")

    def profile(name: str) -> str | None:
        allocation = a100.running(name)[name].status.allocation
        assert allocation is not None
        return allocation.devices[0].profile

    a100.ok("submit", "even", "-p", "default", "--gpu-memory", "10GB", *HOLD)
    assert profile("even") == "2g.10gb"
    a100.ok("node-pool", "set", "default", "--memory-rule", "least-compute")
    assert "1g.10gb" in a100.ok("plan", "what-if", "-p", "default", "--add", "10GB")
    a100.ok("submit", "small", "-p", "default", "--gpu-memory", "10GB", *HOLD)
    assert (profile("small"), profile("even")) == ("1g.10gb", "2g.10gb")
    a100.ok("node-pool", "set", "default", "--memory-rule", "proportional")
    assert "2g.10gb" in a100.ok("plan", "what-if", "-p", "default", "--add", "10GB")
