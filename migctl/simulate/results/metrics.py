"""Events in, one Result out: what was admitted, how full the fleet was, how long requests waited.

What happens while the fleet fills up is not counted: the first `warm_up` arrivals and the time until then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from migctl.simulate.events import SimulationEvent, SimulationEventKind
from migctl.simulate.fleet import SimulatedFleet, Size
from solver.model.demand import Demand, Fraction, Grant, MigProfile, WholeGpus

SAMPLES = 400
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the arrivals under one policy; shares are 0 to 1, times in seconds.

    requests     admitted, of the requests that counted
    slices       admitted, of the compute that they requested together
    utilisation  compute that was held, of the fleet's, over time
    idle_gpus    unused GPUs, over time (None for a bound, which gives no placements)
    waiting, waiting_p95   mean and 95th percentile, over those who were admitted
    unserved     of the queue: never admitted
    fragmented   refused, or made to wait, while enough compute and room was free in sum
    moves, creates, destroys   by all admissions together
    used_at_end   compute held of the fleet's, after the last arrival
    free_at_end, idle_at_end   GPUs not held then, parts added up, and GPUs without any use
    by_size      for each demand: how often it arrived, and how often it was admitted
    over_time    (when, compute held of the fleet's)
    """

    policy: str
    arrivals: int
    admitted: int
    requests: float
    slices: float
    utilisation: float
    idle_gpus: float | None
    waiting: float
    waiting_p95: float
    unserved: int
    fragmented: int
    moves: int
    creates: int
    destroys: int
    used_at_end: float
    free_at_end: float
    idle_at_end: int | None
    by_size: dict[str, tuple[int, int]]
    over_time: tuple[tuple[float, float], ...]


def measure(
    policy: str, fleet: SimulatedFleet, events: Iterable[SimulationEvent], arrivals: int, warm_up: int = 0
) -> Result:
    """arrivals: how many there are. Time is counted from the first that counts to the last."""
    meter = _Meter(fleet, warm_up, arrivals - 1)
    for event in events:
        meter.see(event)
    return meter.result(policy)


class _Occupied:
    """What is held at a moment: of compute and room (in GPUs), and how many GPUs are in use."""

    def __init__(self) -> None:
        self.compute = self.room = 0.0
        self.in_use = 0
        self._grants: dict[str, Grant] = {}
        self._sharers: Counter[str] = Counter()

    def see(self, event: SimulationEvent, size: Size) -> None:
        claim = event.arrival.request.claim
        if event.kind is SimulationEventKind.ENDED:
            self.compute, self.room = self.compute - size.compute, self.room - size.room
            self._lay(self._grants.pop(claim, None), -1)
        elif event.admission:
            self.compute, self.room = self.compute + size.compute, self.room + size.room
            grants = {**event.admission.moves, **({claim: event.admission.grant} if event.admission.grant else {})}
            for moved, grant in grants.items():
                self._lay(self._grants.get(moved), -1)
                self._lay(grant, 1)
            self._grants |= grants

    def _lay(self, grant: Grant | None, sign: int) -> None:
        for share in grant.devices if grant else ():
            self.in_use -= self._sharers[share.gpu] > 0
            self._sharers[share.gpu] += sign
            self.in_use += self._sharers[share.gpu] > 0


class _Meter:
    def __init__(self, fleet: SimulatedFleet, first: int, last: int) -> None:
        self._fleet, self._first, self._last = fleet, first, last
        self._gpus = len(fleet.gpus)
        self._occupied = _Occupied()
        self._requested: Counter[Demand] = Counter()
        self._got: Counter[Demand] = Counter()
        self._did: Counter[str] = Counter()
        self._waits: list[float] = []
        self._moments: list[tuple[float, float, int]] = []
        self._over = False

    def see(self, event: SimulationEvent) -> None:
        size = self._fleet.size(event.arrival.request.demand)
        if event.number >= self._first:
            self._count(event, size)
        self._occupied.see(event, size)
        arrives = event.at == event.arrival.at and event.kind is not SimulationEventKind.ENDED
        if not self._over and (self._moments or (arrives and event.number >= self._first)):
            self._moments.append((event.at, self._occupied.compute, self._occupied.in_use))
        self._over |= arrives and event.number == self._last

    def _count(self, event: SimulationEvent, size: Size) -> None:
        demand = event.arrival.request.demand
        if event.kind is not SimulationEventKind.ENDED:
            self._requested[demand] += event.kind is not SimulationEventKind.ADMITTED or event.at == event.arrival.at
        if event.kind in (SimulationEventKind.REFUSED, SimulationEventKind.WAITS):
            free = self._gpus - self._occupied.compute, self._gpus - self._occupied.room
            self._did["fragmented"] += free[0] + EPSILON >= size.compute and free[1] + EPSILON >= size.room
        if event.admission:
            self._got[demand] += 1
            self._waits.append(event.at - event.arrival.at)
            self._did["creates"] += event.admission.creates
            self._did["destroys"] += event.admission.destroys
            self._did["moves"] += len(event.admission.moves)

    def result(self, policy: str) -> Result:
        computes = {demand: self._fleet.size(demand).compute for demand in self._requested}
        requested, got = (
            sum(computes[demand] * n for demand, n in counts.items()) for counts in (self._requested, self._got)
        )
        waits = sorted(self._waits)
        busy = self._over_time(2)
        placed = any(in_use for _, _, in_use in self._moments)
        return Result(
            policy=policy,
            arrivals=self._requested.total(),
            admitted=self._got.total(),
            requests=self._got.total() / max(1, self._requested.total()),
            slices=got / requested if requested else 0.0,
            utilisation=self._over_time(1) / self._gpus,
            idle_gpus=self._gpus - busy if placed else None,
            waiting=sum(waits) / max(1, len(waits)),
            waiting_p95=waits[int(len(waits) * 0.95)] if waits else 0.0,
            unserved=self._requested.total() - self._got.total(),
            fragmented=self._did["fragmented"],
            moves=self._did["moves"],
            creates=self._did["creates"],
            destroys=self._did["destroys"],
            used_at_end=self._moments[-1][1] / self._gpus if self._moments else 0.0,
            free_at_end=self._gpus - (self._moments[-1][1] if self._moments else 0.0),
            idle_at_end=self._gpus - self._moments[-1][2] if placed else None,
            by_size={
                demand_text(demand): (count, self._got[demand])
                for demand, count in sorted(self._requested.items(), key=_size(computes))
            },
            over_time=self._samples(),
        )

    def _over_time(self, column: int) -> float:
        """The mean over time."""
        steps = list(pairwise(self._moments))
        lasted = sum(after[0] - before[0] for before, after in steps)
        return sum(before[column] * (after[0] - before[0]) for before, after in steps) / lasted if lasted else 0.0

    def _samples(self) -> tuple[tuple[float, float], ...]:
        every = max(1, len(self._moments) // SAMPLES)
        return tuple((at, compute / self._gpus) for at, compute, _ in self._moments[::every])


def _size(computes: Mapping[Demand, float]) -> Callable[[tuple[Demand, int]], float]:
    return lambda item: computes[item[0]]


def demand_text(demand: Demand) -> str:
    """2g.10gb, 0.25 GPU, 8 GPUs."""
    if isinstance(demand, MigProfile):
        return demand.profile
    if isinstance(demand, WholeGpus):
        return f"{demand.devices} GPU{'s' if demand.devices > 1 else ''}"
    assert isinstance(demand, Fraction)
    return f"{demand.portion:g} GPU"
