"""The GPUs of a simulation, and how large a request is on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from solver.model.catalog import UnknownModel, find
from solver.model.cluster import Gpu, Node
from solver.model.demand import Demand, Fraction, MigProfile, WholeGpus
from solver.model.geometry import GpuModel
from solver.model.snapshot import UNLIMITED, ProjectQueue, Quota, Snapshot

PROJECT = "simulated"
GPUS_PER_NODE = 8
MAX_GPUS = 1_000_000


class BadFleet(ValueError):
    """The text describes no fleet. The message says what would."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of the fleet a request takes, in GPUs: of its compute, and of its room (memory units)."""

    compute: float
    room: float


@dataclass(frozen=True)
class SimulatedFleet:
    """Nodes and GPUs, empty; either all GPUs are in MIG mode or none is."""

    nodes: tuple[Node, ...]
    gpus: tuple[Gpu, ...]
    models: Mapping[str, GpuModel]

    @cached_property
    def snapshot(self) -> Snapshot:
        """The fleet at the beginning, and one project that may use all of it."""
        return Snapshot(self.nodes, self.gpus, self.models, projects=(ProjectQueue(PROJECT, Quota(quota=UNLIMITED)),))

    @cached_property
    def mig(self) -> bool:
        return bool(self.gpus) and self.gpus[0].mig

    def size(self, demand: Demand) -> Size:
        """The request's size. Raises KeyError for a profile that no GPU here has."""
        if isinstance(demand, MigProfile):
            return self._profiles[demand.profile]
        if isinstance(demand, WholeGpus):
            return Size(demand.devices, demand.devices)
        assert isinstance(demand, Fraction)
        return Size(demand.devices * demand.portion, demand.devices * demand.portion)

    @cached_property
    def _profiles(self) -> Mapping[str, Size]:
        return {
            profile.name: Size(profile.slices / model.slices, profile.size / model.units)
            for model in self.models.values()
            for profile in model.profiles
        }


def parse(text: str) -> SimulatedFleet:
    """`a100-40gb=100` or `a100-40gb=64,h100=32`: nodes of eight GPUs, in MIG mode where the model has it.

    Raises BadFleet.
    """
    nodes: list[Node] = []
    gpus: list[Gpu] = []
    models: dict[str, GpuModel] = {}
    parts = [_part(part) for part in (part.strip() for part in text.split(",")) if part]
    for model, count in parts:
        models[model.id] = model
        for number in range(count):
            if number % GPUS_PER_NODE == 0:
                nodes.append(Node(f"node-{len(nodes):04d}", pool=model.id))
            name, index = nodes[-1].name, number % GPUS_PER_NODE
            gpus.append(Gpu(f"{name}/{index}", name, index, model.id, model.memory_mib, mig=bool(model.units)))
    if not gpus:
        raise BadFleet("a fleet needs GPUs: a100-40gb=100")
    if len({gpu.mig for gpu in gpus}) > 1:
        raise BadFleet("GPUs with MIG and without it are compared apart: one fleet has either")
    if len(gpus) > MAX_GPUS:
        raise BadFleet(f"{len(gpus):,} GPUs are too many (at most {MAX_GPUS:,})")
    return SimulatedFleet(tuple(nodes), tuple(gpus), MappingProxyType(models))


def _part(text: str) -> tuple[GpuModel, int]:
    name, _, count = text.partition("=")
    try:
        model = find(name)
    except UnknownModel as error:
        raise BadFleet(str(error)) from error
    if not count.isdecimal() or int(count) == 0:
        raise BadFleet(f"{text!r} says not how many GPUs: {name}=100")
    return model, int(count)
