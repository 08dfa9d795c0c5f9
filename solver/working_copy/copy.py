"""The working copy of a snapshot: the cluster and the ledger of queues, changed and taken back together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from solver.model.demand import Grant, Holding, Request
from solver.model.snapshot import Snapshot
from solver.quota.ledger import Ledger
from solver.working_copy.occupancy import Candidate, WorkingCluster


class Mark(NamedTuple):
    """A moment of a working copy: how many changes the cluster and the ledger had seen."""

    cluster: int
    ledger: int


class WorkingCopy:
    """What a plan changes while it is made. `undo` takes back all since a mark, everywhere.

    cluster  what is taken, and by whom
    ledger   what the queues have been given

    The cluster may be given: one that is as the snapshot says.
    """

    def __init__(self, snapshot: Snapshot, cluster: WorkingCluster | None = None) -> None:
        self.cluster = cluster or WorkingCluster(snapshot)
        self.ledger = Ledger(snapshot)
        self._watchers: list[Callable[[Mark], None]] = []

    def give(
        self, request: Request, candidates: Sequence[Candidate], victims: Sequence[Holding], suffix: str = ""
    ) -> Grant:
        """Give the candidates to the request; the victims leave. `suffix` marks a moved claim's new share."""
        for holding in victims:
            self.ledger.release(holding)
        taken = replace(request, claim=f"{request.claim}{suffix}") if suffix else request
        grant = self.cluster.take(taken, candidates, [victim.request.claim for victim in victims])
        self.ledger.charge(request, grant)
        return grant

    def watch(self, taken_back: Callable[[Mark], None]) -> None:
        """Call `taken_back` with the mark after every `undo`: for those that cache what they saw here."""
        self._watchers.append(taken_back)

    def mark(self) -> Mark:
        """A moment to go back to with `undo`."""
        return Mark(self.cluster.mark(), self.ledger.mark())

    def undo(self, mark: Mark) -> None:
        """Take back all that was given out since the mark."""
        self.cluster.undo(mark.cluster)
        self.ledger.undo(mark.ledger)
        for taken_back in self._watchers:
            taken_back(mark)
