"""Several simulated nodes on one machine: one agent, whose GPUs are reported as those of several nodes.

Only the simulation does this, so that a laptop shows what happens between nodes. Everything outside
this module sees several nodes; the agent sees one machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from migctl.embedded.kubelet.runner import NodeAgent
from nodeagent.contract.allocation import Allocation, NodeReport, Prepared
from nodeagent.simulated_nvml import spec
from nodeagent.simulated_nvml.state import StateFile
from solver.model.cluster import Gpu

NodeOf = Mapping[str, str]
"""The node's name by GPU UUID; empty where there is only the machine itself."""


class MachineAgent(NodeAgent, Protocol):
    """The agent whose GPUs are reported as several nodes'."""

    node: str


def node_of(simulated: Path) -> NodeOf:
    """The nodes that a simulated machine was described with. Raises DamagedState."""
    if not simulated.exists():
        return {}
    machine = StateFile(simulated).read()
    gpus = zip(machine["gpus"], spec.parse(machine["spec"]), strict=True)
    return {info["uuid"]: gpu.node for info, gpu in gpus if gpu.node}


@dataclass(frozen=True)
class AnyNodesAgent:
    """Prepares allocations of every node at the one agent."""

    agent: MachineAgent

    def prepare(self, allocation: Allocation) -> Prepared:
        return self.agent.prepare(replace(allocation, node=self.agent.node))

    def prepared_for(self, claim: str) -> Prepared | None:
        return self.agent.prepared_for(claim)

    def unprepare(self, claim: str) -> None:
        self.agent.unprepare(claim)

    def report(self) -> NodeReport:
        return self.agent.report()


@dataclass(frozen=True)
class OneNode:
    """Reports the GPUs of one of the nodes, numbered from 0."""

    agent: MachineAgent
    name: str
    node_of: NodeOf

    def report(self) -> NodeReport:
        whole = self.agent.report()
        mine = [gpu for gpu in whole.gpus if self.node_of.get(gpu.uuid) == self.name]
        uuids = {gpu.uuid for gpu in mine}
        holders = {claim for gpu in mine for claim in _holders(gpu)}
        processes = tuple(process for process in whole.processes if process.gpu in uuids)
        noted = uuids | holders | {f"pid {process.pid}" for process in processes}
        return replace(
            whole,
            node=self.name,
            gpus=tuple(replace(gpu, node=self.name, index=index) for index, gpu in enumerate(mine)),
            held=tuple(claim for claim in whole.held if claim in holders),
            processes=processes,
            notes={key: note for key, note in whole.notes.items() if key in noted},
        )


def reporters(agent: MachineAgent, nodes: NodeOf) -> Sequence[MachineAgent | OneNode]:
    """One reporter per node: the agent itself where it is the only one."""
    names = dict.fromkeys(nodes.values())
    return [OneNode(agent, name, nodes) for name in names] or [agent]


def _holders(gpu: Gpu) -> set[str]:
    claims = {i.claim for i in gpu.instances} | {part.claim for part in gpu.parts} | {gpu.held_by}
    return {claim for claim in claims if claim}
