"""Generated demand: Poisson arrivals of requests of several sizes, with exponential lifetimes.

A mix says how often each size is requested, the sizes being the plain profiles of the GPU model (on GPUs
without MIG: an eighth, a quarter, half of one, a whole one), s the part of a GPU that each takes:

    uniform   every size as often as the others
    small     as often as 1/s
    big       as often as s
    bimodal   the smallest and the largest 45 % each, the others share the rest

Load is the room that all requests would occupy on average were none refused, over the room there is;
room is counted in placement units (memory), the scarcer part of a MIG GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from migctl.simulate.events import SECONDS_PER_HOUR, Arrival
from migctl.simulate.fleet import PROJECT, SimulatedFleet
from solver.gpu_tables.tables import table
from solver.model.demand import Demand, Fraction, MigProfile, Request, WholeGpus
from solver.model.geometry import GpuModel

Sizes = Sequence[float]
ENDS = 0.9
PLAIN: tuple[tuple[Demand, float], ...] = ((Fraction(1 / 8), 1 / 8), (Fraction(1 / 4), 1 / 4), (Fraction(1 / 2), 1 / 2))


def _bimodal(sizes: Sizes) -> list[float]:
    middle = max(1, len(sizes) - 2)
    weights = [(1 - ENDS) / middle] * len(sizes)
    weights[0] = weights[-1] = ENDS / 2
    return weights


MIXES: Mapping[str, Callable[[Sizes], list[float]]] = MappingProxyType(
    {
        "uniform": lambda sizes: [1.0 for _ in sizes],
        "small": lambda sizes: [1 / size for size in sizes],
        "big": lambda sizes: list(sizes),
        "bimodal": _bimodal,
    }
)


@dataclass(frozen=True, slots=True)
class DemandMix:
    """A mix at a load. `lifetime` is the mean, in seconds."""

    mix: str
    load: float
    arrivals: int
    seed: int = 0
    lifetime: float = SECONDS_PER_HOUR

    def on(self, fleet: SimulatedFleet) -> Iterator[Arrival]:
        """The arrivals; the same at every call."""
        rng = Random(self.seed)
        demands, weights = _demand(fleet, self.mix)
        mean = sum(w * fleet.size(demand).room for (demand, _), w in zip(demands, weights, strict=True)) / sum(weights)
        every = mean * self.lifetime / (self.load * len(fleet.gpus))
        now = 0.0
        for number in range(self.arrivals):
            now += rng.expovariate(1 / every)
            demand, pools = rng.choices(demands, weights)[0]
            name = f"request-{number}"
            request = Request(name, name, PROJECT, demand, created=now, workload=name, pools=pools)
            yield Arrival(now, request, rng.expovariate(1 / self.lifetime))


def usual_demands(model: GpuModel) -> list[tuple[Demand, float]]:
    """The usual demands on this model and the part of a GPU that each takes, the smallest first."""
    if not model.units:
        return [*PLAIN, (WholeGpus(), 1.0)]
    profiles = sorted(table(model).usual, key=lambda profile: (profile.size, profile.slices))
    return [(MigProfile(profile.name), profile.size / model.units) for profile in profiles]


def _demand(fleet: SimulatedFleet, mix: str) -> tuple[list[tuple[Demand, tuple[str, ...]]], list[float]]:
    """Demands (with their pool, where the fleet has several) and the weight of each."""
    demands: list[tuple[Demand, tuple[str, ...]]] = []
    weights: list[float] = []
    for model in fleet.models.values():
        usual = usual_demands(model)
        often = MIXES[mix]([size for _, size in usual])
        mean = sum(w * size for w, (_, size) in zip(often, usual, strict=True))
        gpus = sum(gpu.model == model.id for gpu in fleet.gpus)
        pools = (model.id,) if len(fleet.models) > 1 else ()
        demands += [(demand, pools) for demand, _ in usual]
        weights += [w * gpus / mean for w in often]
    return demands, weights
