"""Faults of a server and its network, on demand."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.storage import LogEntry


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as a fault sees it. `bound_to`: the node or process that the token names."""

    user: str
    bound_to: str
    method: str
    path: str
    watch: bool


Fault = Callable[[Call], Refused | None]


class Cut(Exception):
    """The connection breaks. `done`: only after the request was carried out."""

    def __init__(self, done: bool = False) -> None:
        super().__init__("cut")
        self.done = done


@dataclass
class Faults:
    """What goes wrong now.

    down      nothing is answered: connections break
    before    hears of every request; may answer with a refusal, or raise Cut
    events    what becomes of a batch of watch events on its way
    piece     watch bytes are sent in pieces of this size (0: whole)
    """

    down: bool = False
    before: list[Fault] = field(default_factory=list)
    events: Callable[[list[LogEntry]], list[LogEntry]] | None = None
    piece: int = 0
    calls: list[Call] = field(default_factory=list)

    def check(self, call: Call) -> Cut | None:
        """Raises Refused, or Cut at once; returns the cut that comes after the request is carried out."""
        self.calls.append(call)
        if self.down:
            raise Cut
        try:
            for fault in self.before:
                refused = fault(call)
                if refused is not None:
                    raise refused
        except Cut as cut:
            if not cut.done:
                raise
            return cut
        return None


def unreliable(seed: int, rate: float) -> Fault:
    """Answers some requests with 429, 500, 503 or a broken connection, before or after they were carried out."""
    dice = random.Random(seed)

    def fault(call: Call) -> Refused | None:
        if dice.random() >= rate:
            return None
        match dice.randrange(5):
            case 0:
                return Refused(429, "TooManyRequests", "too many requests", retry_after=1)
            case 1:
                return Refused(500, "InternalError", "etcdserver: leader changed")
            case 2:
                return Refused(503, "ServiceUnavailable", "apiserver is shutting down")
            case 3:
                raise Cut(done=False)
            case _:
                raise Cut(done=True)

    return fault


def shuffled(seed: int, rate: float) -> Callable[[list[LogEntry]], list[LogEntry]]:
    """Loses, repeats and reorders watch events."""
    dice = random.Random(seed)
    late: list[LogEntry] = []

    def disturb(entries: list[LogEntry]) -> list[LogEntry]:
        passed: list[LogEntry] = []
        for entry in entries:
            roll = dice.random()
            if roll < rate / 3:
                continue
            if roll < 2 * rate / 3:
                passed += [entry, entry]
            elif roll < rate:
                late.append(entry)
            else:
                passed.append(entry)
                if late and dice.random() < 0.5:
                    passed.append(late.pop())
        return passed

    return disturb
