"""The event loop: arrivals and departures in the order of a virtual clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator

from migctl.simulate.events import Arrival, Scheduler, SimulationEvent, SimulationEventKind
from solver.model.demand import Demand

_Key = tuple[Demand, tuple[str, ...], int, int]


def play(arrivals: Iterable[Arrival], scheduler: Scheduler, queue: bool = False) -> Iterator[SimulationEvent]:
    """The events of these arrivals. Of simultaneous events departures come first.

    queue: a request that finds no room waits. Ends after the last arrival and the last departure.
    """
    return _Play(scheduler, queue).events(arrivals)


class _Play:
    def __init__(self, scheduler: Scheduler, queue: bool) -> None:
        self._scheduler = scheduler
        self._waiting: dict[int, Arrival] | None = {} if queue else None
        self._ends: list[tuple[float, int, Arrival]] = []

    def events(self, arrivals: Iterable[Arrival]) -> Iterator[SimulationEvent]:
        for number, arrival in enumerate(arrivals):
            yield from self._until(arrival.at)
            yield self._arrive(number, arrival)
        yield from self._until(math.inf)

    def _until(self, now: float) -> Iterator[SimulationEvent]:
        """Every event up to `now`; infinite lifetimes do not end."""
        while self._ends and self._ends[0][0] <= now and self._ends[0][0] < math.inf:
            at, number, arrival = heapq.heappop(self._ends)
            self._scheduler.release(arrival.request.claim)
            yield SimulationEvent(at, SimulationEventKind.ENDED, number, arrival)
            if self._waiting:
                yield from self._serve(self._waiting, at)

    def _arrive(self, number: int, arrival: Arrival) -> SimulationEvent:
        hopeless = {_key(other) for other in self._waiting.values()} if self._waiting else ()
        if _key(arrival) not in hopeless and (event := self._admit(number, arrival, arrival.at)):
            return event
        if self._waiting is None:
            return SimulationEvent(arrival.at, SimulationEventKind.REFUSED, number, arrival)
        self._waiting[number] = arrival
        return SimulationEvent(arrival.at, SimulationEventKind.WAITS, number, arrival)

    def _serve(self, waiting: dict[int, Arrival], now: float) -> Iterator[SimulationEvent]:
        """Admit waiting requests in order of arrival; equal ones are not tried after one found no room."""
        hopeless: set[_Key] = set()
        for number, arrival in list(waiting.items()):
            if (key := _key(arrival)) in hopeless:
                continue
            if event := self._admit(number, arrival, now):
                del waiting[number]
                yield event
            else:
                hopeless.add(key)

    def _admit(self, number: int, arrival: Arrival, now: float) -> SimulationEvent | None:
        admission = self._scheduler.admit(arrival.request, now)
        if admission is None:
            return None
        heapq.heappush(self._ends, (now + arrival.lasts, number, arrival))
        return SimulationEvent(now, SimulationEventKind.ADMITTED, number, arrival, admission)


def _key(arrival: Arrival) -> _Key:
    """Requests of the same key find room at the same moments."""
    request = arrival.request
    return request.demand, request.pools, request.cpu_milli, request.memory_mib
