"""The types of a simulation: arrivals, a scheduler's admissions, and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from solver.model.demand import Grant, Request

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that arrives at `at` seconds and holds its share for `lasts` seconds (infinite: to the end)."""

    at: float
    request: Request
    lasts: float


@dataclass(frozen=True, slots=True)
class Admission:
    """The share that a request was given.

    grant    None for a bound, which places nothing
    moves    new grants of the claims that were moved to make room, by claim
    creates, destroys   MIG instances made and removed for it, those for moves included
    """

    grant: Grant | None = None
    creates: int = 0
    destroys: int = 0
    moves: Mapping[str, Grant] = field(default_factory=lambda: MappingProxyType({}))


class Scheduler(Protocol):
    """A placement policy, with the state of its fleet."""

    def admit(self, request: Request, now: float) -> Admission | None:
        """The request's share; None where there is no room."""

    def release(self, claim: str) -> None:
        """Free the claim's share."""


class SimulationEventKind(StrEnum):
    """What happened.

    admitted  a share was given out
    refused   no room: the request has left
    waits     no room: the request is in the queue
    ended     a share was freed
    """

    ADMITTED = "admitted"
    REFUSED = "refused"
    WAITS = "waits"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SimulationEvent:
    """One thing that happened to one arrival (`number`: its position in the order of arrival)."""

    at: float
    kind: SimulationEventKind
    number: int
    arrival: Arrival
    admission: Admission | None = None
