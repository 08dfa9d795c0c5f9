"""The words of a simulation: who arrives, what a scheduler answers, what happened."""

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
    """Somebody wants a share at `at` seconds and keeps it for `lasts` seconds (infinite: to the end)."""

    at: float
    request: Request
    lasts: float


@dataclass(frozen=True, slots=True)
class Admission:
    """A share was given out.

    grant    None for a bound, which places nothing
    moves    new places of those who were moved to make room, by claim
    creates, destroys   MIG instances made and removed for it, those for moves included
    """

    grant: Grant | None = None
    creates: int = 0
    destroys: int = 0
    moves: Mapping[str, Grant] = field(default_factory=lambda: MappingProxyType({}))


class Scheduler(Protocol):
    """Somebody who decides where requests go. Remembers what it has given out."""

    def admit(self, request: Request, now: float) -> Admission | None:
        """Give the request a share, or nothing."""

    def release(self, claim: str) -> None:
        """The holder has gone."""


class SimulationEventKind(StrEnum):
    """What happened.

    admitted  a share was given out
    refused   no room: the request has left
    waits     no room: the request stands in the queue
    ended     a holder has gone
    """

    ADMITTED = "admitted"
    REFUSED = "refused"
    WAITS = "waits"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SimulationEvent:
    """One thing that happened to one arrival (`number`: its place in the order of arrival)."""

    at: float
    kind: SimulationEventKind
    number: int
    arrival: Arrival
    admission: Admission | None = None
