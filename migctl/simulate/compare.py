"""The same arrivals under several policies, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from migctl.simulate.events import Arrival
from migctl.simulate.fleet import SimulatedFleet
from migctl.simulate.loop import play
from migctl.simulate.policies import SchedulerFactory
from migctl.simulate.results.metrics import Result, measure

Watch = Callable[[str, Sequence[Arrival]], Iterable[Arrival]]
WARM_UP = 0.1
"""Of generated arrivals this part only fills the fleet."""


def unwatched(policy: str, arrivals: Sequence[Arrival]) -> Iterable[Arrival]:
    """The arrivals, unobserved."""
    return arrivals


def compare(
    fleet: SimulatedFleet,
    arrivals: Sequence[Arrival],
    policies: Mapping[str, SchedulerFactory],
    queue: bool = False,
    warm_up: float = WARM_UP,
    watch: Watch = unwatched,
) -> Iterator[Result]:
    """One result for each policy, as soon as it is known. watch: sees the arrivals of each as they happen."""
    for name, make in policies.items():
        events = play(watch(name, arrivals), make(), queue)
        yield measure(name, fleet, events, len(arrivals), int(len(arrivals) * warm_up))
