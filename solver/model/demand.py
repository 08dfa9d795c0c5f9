"""What requests demand, and the shares that answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from solver.model.cluster import NO_LABELS, Backing
from solver.model.geometry import unit_mask
from solver.model.priorities import TRAINING


@dataclass(frozen=True, slots=True)
class WholeGpus:
    """Whole GPUs of one node. model: by id, without regard to case; None: any."""

    devices: int = 1
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Fraction:
    """The same portion (0 < portion < 1) of each of `devices` GPUs of one node."""

    portion: float
    devices: int = 1
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """The same GPU memory, in MiB, on each of `devices` GPUs of one node."""

    mib: int
    devices: int = 1
    model: str | None = None


@dataclass(frozen=True, slots=True)
class MigProfile:
    """Instances of a named profile, each on a GPU of its own when there are several."""

    profile: str
    devices: int = 1
    model: str | None = None


OneDemand = WholeGpus | Fraction | Memory | MigProfile


@dataclass(frozen=True, slots=True)
class ContainerDemands:
    """What each of several containers of a pod demands, all on one node; shares of several may be on one GPU."""

    parts: tuple[OneDemand, ...]

    @property
    def devices(self) -> int:
        """The devices of all containers together."""
        return sum(part.devices for part in self.parts)

    @property
    def model(self) -> str | None:
        """The model that all GPUs must be of."""
        return self.parts[0].model


Demand = OneDemand | ContainerDemands


def parts_of(demand: Demand) -> tuple[OneDemand, ...]:
    """The demands that one demand consists of."""
    return demand.parts if isinstance(demand, ContainerDemands) else (demand,)


def by_part(demand: Demand, devices: Sequence[DeviceShare]) -> Iterator[tuple[OneDemand, Sequence[DeviceShare]]]:
    """The shares that a grant has for each part of a demand: they come in the order of the parts."""
    begin = 0
    for part in parts_of(demand):
        yield part, devices[begin : begin + part.devices]
        begin += part.devices


def takes(demand: Demand, model: str) -> bool:
    """Whether a GPU of this model may serve the demand."""
    return demand.model is None or demand.model.lower() == model.lower()


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """A part of one GPU and what backs it.

    gpu         GPU UUID
    portion     its part of the GPU in the quota currency (compute slices / the model's slices
                for MIG, memory for a software share, 1.0 for a whole GPU)
    memory_mib  what its holder can use
    profile, start, size   the MIG instance (None and 0 for other backings)
    """

    gpu: str
    backing: Backing
    portion: float
    memory_mib: int
    profile: str | None = None
    start: int | None = None
    size: int = 0

    @property
    def mask(self) -> int:
        """The units of the MIG instance; 0 for other backings."""
        return 0 if self.start is None else unit_mask(self.start, self.size)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request gets: shares of GPUs of one node, in the order of the parts of its demand."""

    node: str
    devices: tuple[DeviceShare, ...]


@dataclass(frozen=True, slots=True)
class Gang:
    """Requests that start together or not at all. `size` members must fit.

    domain: node label whose value all members must share (None: anywhere).
    """

    name: str
    size: int
    domain: str | None = None
    domain_required: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """One pod's request for GPU shares.

    claim          uid of the claim it speaks for
    name           what people call it: the workload's name, or workload and pod index
    priority       training 50, interactive-preemptible 75, interactive 100, inference 125
    created        seconds; only the order matters: its age in the queue
    waiting_since  seconds; where it began to wait later than that (None: then)
    pools          node pools in order of preference; empty: any
    node_selector  labels the node must carry
    excluded       nodes that would refuse it, or did a short while ago
    refusals       of those, why, where it is known: node and words
    anti_affinity  requests with the same key go to different nodes
    nominated      room that is being freed for it: nobody else may have it
    movable        whether it may be stopped to start again elsewhere; False leaves it preemptible
    """

    claim: str
    name: str
    project: str
    demand: Demand
    priority: int = TRAINING
    preemptible: bool = True
    created: float = 0.0
    workload: str = ""
    pools: tuple[str, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    excluded: frozenset[str] = frozenset()
    refusals: frozenset[tuple[str, str]] = frozenset()
    anti_affinity: str | None = None
    cpu_milli: int = 0
    memory_mib: int = 0
    gang: Gang | None = None
    nominated: Grant | None = None
    backing_off_until: float | None = None
    waiting_since: float | None = None
    movable: bool = True


@dataclass(frozen=True, slots=True)
class Holding:
    """A request that has its share: allocated, running or on its way out.

    since      when it was granted, seconds
    releasing  told to stop; its units are not free until the node reports so
    protected  why it may not be evicted now ("" where it may): a disruption budget, say
    """

    request: Request
    grant: Grant
    since: float = 0.0
    releasing: bool = False
    protected: str = ""
