"""Simulated machines with an agent, for tests: start it, crash it, start it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nodeagent.agent import Agent
from nodeagent.contract.allocation import Allocation
from nodeagent.gpu.events import EventObserver
from nodeagent.nvml import Nvml
from nodeagent.simulated_nvml import processes, spec
from nodeagent.simulated_nvml.faults import Faults
from nodeagent.simulated_nvml.library import SimulatedNvml
from nodeagent.simulated_nvml.state import StateFile
from solver.model.catalog import models
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare

R = TypeVar("R")
NODE = "node-1"


class Machine:
    """A node whose GPUs outlive its agent. Processes on GPUs carry their claim in `owners`."""

    def __init__(self, directory: Path, gpus: str = "a100-40gb=1") -> None:
        self.directory = directory
        self.state_path = directory / "machine.json"
        spec.create(self.state_path, gpus)
        self.state = StateFile(self.state_path)
        self.owners: dict[int, str] = {}
        self._agents: list[Agent] = []

    @property
    def agent_dir(self) -> Path:
        return self.directory / "agent"

    def library(self, faults: Faults | None = None) -> SimulatedNvml:
        return SimulatedNvml(self.state_path, faults=faults or Faults())

    def agent(self, faults: Faults | None = None, observers: Sequence[EventObserver] = ()) -> Agent:
        """A newly started agent; the one before must have been closed."""
        library = self.library(faults)
        agent = Agent(
            Nvml(library),
            self.agent_dir,
            NODE,
            boot_id=library.boot_id,
            claim_of=self.owners.get,
            observers=observers,
        )
        self._agents.append(agent)
        return agent

    def gpus(self) -> list[dict[str, Any]]:
        """The hardware's own records."""
        found: list[dict[str, Any]] = self.state.read()["gpus"]
        return found

    def gpu(self, index: int = 0) -> str:
        return str(self.gpus()[index]["uuid"])

    def layout(self, index: int = 0) -> list[tuple[str, int]]:
        return sorted(((i["profile"], i["start"]) for i in self.gpus()[index]["instances"]), key=lambda p: p[1])

    def occupy(self, uuid: str, mib: int, pid: int, claim: str = "") -> None:
        """Let a process hold memory of a device."""
        processes.hold(self.state, uuid, mib, pid=pid)
        self.owners[pid] = claim

    def vacate(self) -> None:
        """Every process ends."""
        with self.state.change() as state:
            for gpu in state["gpus"]:
                gpu["processes"] = []


def mig(gpu: str, profile: str, start: int, model: str = "A100-40GB") -> DeviceShare:
    table = models()[model]
    p = table.profile(profile)
    assert p is not None
    return DeviceShare(gpu, Backing.MIG, p.slices / table.slices, p.memory_mib or 0, profile, start, p.size)


def part(gpu: str, mib: int, portion: float = 0.5) -> DeviceShare:
    return DeviceShare(gpu, Backing.SOFTWARE, portion, mib)


def whole(gpu: str, mib: int = 16160) -> DeviceShare:
    return DeviceShare(gpu, Backing.WHOLE, 1.0, mib)


def allocation(claim: str, *devices: DeviceShare, node: str = NODE) -> Allocation:
    return Allocation(claim, f"job-{claim}", "team-a", node, devices)


def fill(agent: Agent, machine: Machine, gpus: int) -> None:
    """Hold every smallest instance of the first A100s."""
    for number, start in ((n, s) for n in range(gpus) for s in range(7)):
        agent.prepare(allocation(f"c{number}-{start}", mig(machine.gpu(number), "1g.5gb", start)))


def at_once(gpu: str, act: Callable[[], R]) -> R:
    """It is nobody else's turn."""
    return act()
