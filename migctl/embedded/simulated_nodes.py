"""Several simulated nodes on one machine: one agent, whose GPUs are reported as those of several nodes.

Only the simulation does this, so that a laptop shows what happens between nodes. Everything outside
this module sees several nodes; the agent sees one machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from migctl.embedded.dynamic_mig import NodeModeSwitch
from migctl.embedded.kubelet.runner import NodeAgent
from nodeagent.contract.allocation import Allocation, NodeReport, Prepared, StaleAllocation, Unsupported
from nodeagent.gpu.mig_mode import ModeChange
from nodeagent.simulated_nvml import spec
from nodeagent.simulated_nvml.state import StateFile
from solver.model.cluster import Gpu

NodeOf = Mapping[str, str]
"""The node's name by GPU UUID, in the machine's order; empty where there is only the machine itself."""


_GPU = re.compile(r"\bGPU (\d+)\b")


class MachineAgent(NodeAgent, Protocol):
    """The agent whose GPUs are reported as several nodes'."""

    @property
    def node(self) -> str: ...

    @property
    def gpus(self) -> NodeModeSwitch: ...


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
    """One of the nodes: its GPUs, numbered from 0, with what happens on them, and their MIG mode."""

    agent: MachineAgent
    node: str
    node_of: NodeOf

    @property
    def indices(self) -> Mapping[str, int]:
        """Its GPUs by UUID, with their numbers here. One that does not answer keeps its number."""
        mine = (uuid for uuid, node in self.node_of.items() if node == self.node)
        return {uuid: index for index, uuid in enumerate(mine)}

    def report(self) -> NodeReport:
        """The machine's report, as far as it is about this node."""
        whole, indices = self.agent.report(), self.indices
        mine = [gpu for gpu in whole.gpus if gpu.uuid in indices]
        holders = {claim for gpu in mine for claim in _holders(gpu)}
        return replace(
            whole,
            node=self.node,
            gpus=tuple(replace(gpu, node=self.node, index=indices[gpu.uuid]) for gpu in mine),
            models={gpu.model: whole.models[gpu.model] for gpu in mine},
            allocations=tuple(replace(one, node=self.node) for one in whole.allocations if one.claim in holders),
            processes=tuple(process for process in whole.processes if process.gpu in indices),
            notes=dict(self._notes(whole)),
        )

    def with_mig(self) -> tuple[str, ...]:
        """UUIDs of its GPUs that have MIG, whatever their mode."""
        return tuple(uuid for uuid in self.agent.gpus.with_mig() if uuid in self.indices)

    def set_dynamic_mig(self, on: bool, gpus: Collection[str] | None = None) -> tuple[ModeChange, ...]:
        """As the machine's GPUs do it, for those of this node."""
        indices = self.indices
        if unknown := set(gpus or ()) - indices.keys():
            raise StaleAllocation(f"node {self.node} has no GPU {min(unknown)}")
        named = self.with_mig() if gpus is None else gpus
        if not named:
            raise Unsupported(f"no GPU of node {self.node} has MIG")
        return tuple(
            replace(change, index=indices[change.gpu]) for change in self.agent.gpus.set_dynamic_mig(on, named)
        )

    def _notes(self, whole: NodeReport) -> Iterator[tuple[str, str]]:
        """Notes on what is here, and those that are about no single node."""
        place = {f"pid {process.pid}": process.gpu for process in whole.processes}
        place |= {claim: gpu.uuid for gpu in whole.gpus for claim in _holders(gpu)}
        place |= {uuid: uuid for uuid in self.node_of} | {f"GPU {i}": uuid for i, uuid in enumerate(self.node_of)}
        for key, note in whole.notes.items():
            if key not in place or place[key] in self.indices:
                yield _GPU.sub(self._called_here, key), _GPU.sub(self._called_here, note)

    def _called_here(self, named: re.Match[str]) -> str:
        """What GPU NUMBER of the machine is called on this node."""
        uuids = list(self.node_of)
        number = int(named[1])
        if number >= len(uuids):
            return named[0]
        other = replace(self, node=self.node_of[uuids[number]])
        index = other.indices[uuids[number]]
        return f"GPU {index}" if other == self else f"GPU {other.node}/{index}"


def nodes_of(agent: MachineAgent, nodes: NodeOf) -> Sequence[OneNode]:
    """Each of the nodes; none where there is only the machine itself."""
    return [OneNode(agent, name, nodes) for name in dict.fromkeys(nodes.values())]


def _holders(gpu: Gpu) -> set[str]:
    claims = {i.claim for i in gpu.instances} | {part.claim for part in gpu.parts} | {gpu.held_by}
    return {claim for claim in claims if claim}
