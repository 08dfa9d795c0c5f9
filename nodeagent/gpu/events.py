"""What happens at the agent, for logs and metrics: every observer is called with each event as it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """Kinds of events.

    created, destroyed   a MIG instance; `seconds` in the driver
    reused               an idle instance was given to a claim
    prepared, unprepared a claim; `seconds` in all
    reclaimed            a claim that no longer exists was unprepared without a call
    refused              a claim was not prepared
    recovered            an interrupted change was finished or undone
    quarantined, fenced  an instance, a GPU; unfenced: it may be used again
    overstepped          a process used more than its share, or a GPU it has no share of
    stopped              a process that overstepped was killed
    faulty               the GPU reported an error; `detail`: its XID, "ecc" or "thermal"
    """

    CREATED = "created"
    DESTROYED = "destroyed"
    REUSED = "reused"
    PREPARED = "prepared"
    UNPREPARED = "unprepared"
    RECLAIMED = "reclaimed"
    REFUSED = "refused"
    RECOVERED = "recovered"
    QUARANTINED = "quarantined"
    FENCED = "fenced"
    UNFENCED = "unfenced"
    OVERSTEPPED = "overstepped"
    STOPPED = "stopped"
    FAULTY = "faulty"


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One thing that happened. `detail`: profile and start, the reason's kind; `text`: for people."""

    kind: EventKind
    gpu: str = ""
    claim: str = ""
    detail: str = ""
    seconds: float = 0.0
    text: str = ""


EventObserver = Callable[[AgentEvent], None]
