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
