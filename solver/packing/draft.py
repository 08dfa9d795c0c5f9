"""A plan in the making: the places found so far and the working copy they were taken from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solver.disruption.victims import may_evict
from solver.disruption.windows import Window, cheapest, of_grant
from solver.model.demand import Grant, Request
from solver.model.snapshot import Policy, Snapshot
from solver.packing.occupancy import Cluster, Host
from solver.packing.online import best_seats


@dataclass(frozen=True, slots=True)
class Found:
    """A request's place: its window, those it makes go now, and all whose going it waits for."""

    request: Request
    window: Window
    grant: Grant
    evicts: tuple[str, ...]

    @property
    def waits_for(self) -> tuple[str, ...]:
        return tuple(sorted(self.window.gone))


class Draft:
    """Places requests one after another; what is given out is gone for those that follow."""

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self.cluster = Cluster(snapshot)
        self.policy = policy
        self.found: dict[str, Found] = {}

    def redeem(self, request: Request) -> bool:
        """Give a request the room that was nominated for it, unless that is lost."""
        window = of_grant(self.cluster, request, request.nominated) if request.nominated else None
        if window:
            self._take(request, window)
        return window is not None

    def place(self, request: Request, within: Sequence[Host] | None = None) -> bool:
        """Give a request the best free place, else the cheapest one that evictions open."""
        seats = best_seats(self.cluster, request, self.policy, within)
        window: Window | None = Window(tuple(seats), frozenset())
        if not seats:
            window = cheapest(self.cluster, request, self.policy, lambda claim: self._may_go(request, claim), within)
        if window is None or self._evictions + len(window.gone - self.cluster.leaving) > self.policy.evictions:
            return False
        self._take(request, window)
        return True

    def place_gang(self, members: Sequence[Request], needed: int, domains: Sequence[Sequence[Host] | None]) -> bool:
        """Place at least `needed` members within the first domain that takes them, or none at all."""
        for domain in domains:
            mark, before = self.cluster.mark(), dict(self.found)
            if sum(self.place(member, domain) for member in members) >= needed:
                return True
            self.cluster.undo(mark)
            self.found = before
        return False

    @property
    def _evictions(self) -> int:
        return sum(len(found.evicts) for found in self.found.values())

    def _may_go(self, request: Request, claim: str) -> bool:
        holding = self.cluster.held.get(claim)
        return holding is not None and (claim in self.cluster.leaving or may_evict(request, holding))

    def _take(self, request: Request, window: Window) -> None:
        evicts = tuple(sorted(window.gone - self.cluster.leaving))
        grant = self.cluster.take(request, window.seats, evicts)
        self.found[request.claim] = Found(request, window, grant, evicts)
