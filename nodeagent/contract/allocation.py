"""Allocations, the agent's answers to them, and its report of a node.

AgentError            every refusal of the agent; `advice` says what the caller should do
├── Busy              a process or a neighbour is in the way: try again soon
├── StaleAllocation   the allocation is not (or no longer) this node's to prepare: plan again
├── Unsupported       this GPU or driver cannot do it: plan elsewhere
└── Fenced            the GPU's state cannot be explained: plan elsewhere, tell an admin
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from solver.model.cluster import Gpu
from solver.model.demand import DeviceShare
from solver.model.geometry import GpuModel


@dataclass(frozen=True, slots=True)
class Allocation:
    """Shares of one node's GPUs that a claim was given.

    claim    uid; the key of every later call
    name     what people call the pod, for logs and reports
    """

    claim: str
    name: str
    project: str
    node: str
    devices: tuple[DeviceShare, ...]


@dataclass(frozen=True, slots=True)
class PreparedDevice:
    """A share that is ready. `uuid`: what a CUDA program must see, a MIG UUID or the GPU's own."""

    gpu: str
    uuid: str
    share: DeviceShare


@dataclass(frozen=True, slots=True)
class Prepared:
    """A claim that is ready to run: its devices and the environment its processes need."""

    claim: str
    devices: tuple[PreparedDevice, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process on a GPU.

    claim     the one it belongs to, None where it belongs to none
    instance  the UUID of its MIG instance, None on a GPU without MIG
    """

    gpu: str
    pid: int
    memory_mib: int
    claim: str | None = None
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node's GPUs as the agent sees them now.

    generation  grows with every change of layout or holders
    models      the profile tables as the driver gives them, by model id
    allocations what is prepared and not yet unprepared
    notes       remarks for people, by GPU, claim or process
    """

    node: str
    boot_id: str
    generation: int
    gpus: tuple[Gpu, ...]
    models: Mapping[str, GpuModel]
    allocations: tuple[Allocation, ...] = ()
    driver: str = ""
    simulated: bool = False
    processes: tuple[GpuProcess, ...] = field(default=())
    notes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def held(self) -> tuple[str, ...]:
        """The claims of the allocations, by uid."""
        return tuple(allocation.claim for allocation in self.allocations)


class Advice(StrEnum):
    """What the caller should do: try again, plan again, or give up."""

    RETRY = "retry"
    PLAN_AGAIN = "plan-again"
    GIVE_UP = "give-up"


class AgentError(Exception):
    """The agent did not do it; nothing is half-done. The text is for people."""

    advice = Advice.RETRY

    @property
    def reason(self) -> str:
        """The refusal's name in logs and metrics."""
        return type(self).__name__


class Busy(AgentError):
    """A process or a neighbour is in the way."""

    advice = Advice.RETRY


class StaleAllocation(AgentError):
    """The allocation is not, or no longer, this node's to prepare."""

    advice = Advice.PLAN_AGAIN
    reason = "Stale"


class Unsupported(AgentError):
    """This GPU or driver cannot do it."""

    advice = Advice.PLAN_AGAIN


class Fenced(AgentError):
    """The GPU's state cannot be explained."""

    advice = Advice.PLAN_AGAIN
