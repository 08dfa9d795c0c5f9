"""One agent shown as several nodes."""

from __future__ import annotations

from pathlib import Path

from migctl.embedded.simulated_nodes import AnyNodesAgent, OneNode, node_of, reporters
from nodeagent.contract.allocation import Allocation
from nodeagent.simulated_nvml import spec
from nodeagent.start import open_agent
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare


def test_each_node_reports_its_own_gpus_numbered_from_zero_and_takes_its_own_allocations(tmp_path: Path) -> None:
    machine = tmp_path / "simulated.json"
    spec.create(machine, "node-a:v100=2,node-b:v100=1,a30=1")
    nodes = node_of(machine)
    agent = open_agent("laptop", tmp_path / "agent", simulated=machine)
    a, b = reporters(agent, nodes)
    assert isinstance(a, OneNode)
    assert [(gpu.node, gpu.index) for gpu in a.report().gpus] == [("node-a", 0), ("node-a", 1)]
    assert [(gpu.node, gpu.index, gpu.mig) for gpu in b.report().gpus] == [("node-b", 0, False), ("node-b", 1, True)]
    share = DeviceShare(b.report().gpus[0].uuid, Backing.WHOLE, 1.0, 16160)
    AnyNodesAgent(agent).prepare(Allocation("claim-1", "pod", "team-a", "node-b", (share,)))
    assert (a.report().held, b.report().held) == ((), ("claim-1",))
    assert b.report().gpus[0].held_by == "claim-1"


def test_a_machine_without_named_nodes_is_one_node(tmp_path: Path) -> None:
    machine = tmp_path / "simulated.json"
    spec.create(machine, "v100=2")
    agent = open_agent("laptop", tmp_path / "agent", simulated=machine)
    assert node_of(machine) == node_of(tmp_path / "none") == {}
    assert reporters(agent, {}) == [agent]
