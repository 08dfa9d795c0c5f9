"""One agent shown as several nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from migctl.embedded.simulated_nodes import AnyNodesAgent, node_of, nodes_of
from nodeagent.agent import Agent
from nodeagent.contract.allocation import Allocation, NodeReport, Prepared
from nodeagent.node_gpus import NodeGpus
from nodeagent.simulated_nvml import spec
from nodeagent.start import open_agent
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare


def test_each_node_reports_its_own_gpus_numbered_from_zero_and_takes_its_own_allocations(tmp_path: Path) -> None:
    machine = tmp_path / "simulated.json"
    spec.create(machine, "node-a:v100=2,node-b:v100=1,a30=1")
    nodes = node_of(machine)
    agent = open_agent("laptop", tmp_path / "agent", simulated=machine)
    a, b = nodes_of(agent, nodes)
    assert [(gpu.node, gpu.index) for gpu in a.report().gpus] == [("node-a", 0), ("node-a", 1)]
    assert [(gpu.node, gpu.index, gpu.mig) for gpu in b.report().gpus] == [("node-b", 0, False), ("node-b", 1, True)]
    share = DeviceShare(b.report().gpus[0].uuid, Backing.WHOLE, 1.0, 16160)
    AnyNodesAgent(agent).prepare(Allocation("claim-1", "pod", "team-a", "node-b", (share,)))
    assert (a.report().held, b.report().held) == ((), ("claim-1",))
    assert b.report().gpus[0].held_by == "claim-1"


@dataclass(frozen=True)
class Remarking:
    """An agent whose report has notes, and lacks a GPU that does not answer."""

    agent: Agent
    notes: Mapping[str, str]
    node: str = "laptop"

    @property
    def gpus(self) -> NodeGpus:
        return self.agent.gpus

    def prepare(self, allocation: Allocation) -> Prepared:
        return self.agent.prepare(allocation)

    def prepared_for(self, claim: str) -> Prepared | None:
        return self.agent.prepared_for(claim)

    def unprepare(self, claim: str) -> None:
        self.agent.unprepare(claim)

    def report(self) -> NodeReport:
        whole = self.agent.report()
        return replace(whole, gpus=(*whole.gpus[:1], *whole.gpus[2:]), notes=self.notes)


def test_notes_are_with_the_node_that_they_are_about_and_gpus_keep_their_numbers(tmp_path: Path) -> None:
    machine = tmp_path / "simulated.json"
    spec.create(machine, "node-a:v100=1,node-b:v100=1,a30=1")
    agent = open_agent("laptop", tmp_path / "agent", simulated=machine)
    share = DeviceShare(agent.report().gpus[0].uuid, Backing.WHOLE, 1.0, 16160)
    agent.prepare(Allocation("claim-1", "pod", "team-a", "laptop", (share,)))
    notes = {
        "GPU 1": "does not answer: LOST",
        "claim-1": "process 7 uses GPU 2, of which its claim has no share",
        "agent's upkeep": "does not work: no room",
    }
    a, b = (one.report() for one in nodes_of(Remarking(agent, notes), node_of(machine)))
    everywhere = {"agent's upkeep": "does not work: no room"}
    on_a = {"claim-1": "process 7 uses GPU node-b/1, of which its claim has no share"}
    assert (a.notes, b.notes) == (on_a | everywhere, {"GPU 0": "does not answer: LOST"} | everywhere)
    assert [(gpu.model, gpu.index) for gpu in b.gpus] == [("A30", 1)]
    assert (set(a.models), set(b.models)) == ({"V100-SXM2-16GB"}, {"A30"})


def test_a_machine_without_named_nodes_is_one_node(tmp_path: Path) -> None:
    machine = tmp_path / "simulated.json"
    spec.create(machine, "v100=2")
    agent = open_agent("laptop", tmp_path / "agent", simulated=machine)
    assert node_of(machine) == node_of(tmp_path / "none") == {}
    assert nodes_of(agent, {}) == []
