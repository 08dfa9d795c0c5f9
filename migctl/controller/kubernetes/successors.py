"""Places kept for pods that are stopped to be moved, until the pods that follow them are there.

Kubernetes makes a new pod only when the old one is gone, and its note of where it goes with it. What was promised is
remembered here, for the new pod of the same workload and index; a controller that starts in between has forgotten it,
and the new pod is placed like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from migctl.controller import observe
from migctl.objects import Claim
from solver.model.demand import Grant, Holding
from solver.model.snapshot import Snapshot

KEPT_S = 60.0
"""How long a place is kept once the pod that was stopped is gone."""

NOT_YET = -1.0
PodKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class KeptPlace:
    """A place that is kept.

    holding  what reserves it
    pod      workload and index
    seen     when the stopped pod was last there
    heir     uid of the claim that has it, "" while there is none
    """

    holding: Holding
    pod: PodKey
    seen: float
    heir: str = ""


class Successors:
    """What is promised, by the uid of the claim that was stopped."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptPlace] = {}

    def applied(self, state: Snapshot, claims: Iterable[Claim]) -> Snapshot:
        """The snapshot with what is kept: nominations of those that follow, reservations for those to come."""
        every = tuple(claims)
        self._note(every, state.now)
        if not self._kept:
            return state
        self._settle(every, state.now)
        promised = {kept.heir: kept.holding.grant for kept in self._kept.values() if kept.heir}
        known = {holding.request.claim for holding in state.held}
        reserved = [kept.holding for kept in self._kept.values() if not kept.heir]
        return replace(
            state,
            pending=tuple(
                replace(request, nominated=promised[request.claim]) if request.claim in promised else request
                for request in state.pending
            ),
            held=(*state.held, *(holding for holding in reserved if holding.request.claim not in known)),
        )

    def promise(self, claim: Claim, place: Grant) -> None:
        """Keep a place for what follows a claim that was just stopped: it may be gone before anybody looks."""
        self._kept[claim.meta.uid] = _kept(claim, place)

    def _note(self, claims: Iterable[Claim], now: float) -> None:
        """Remember those that are being stopped to be moved."""
        for claim in claims:
            place = claim.status.nomination
            if claim.meta.deleting is not None and place is not None:
                before = self._kept.get(claim.meta.uid) or _kept(claim, place)
                self._kept[claim.meta.uid] = replace(before, seen=now)

    def _settle(self, claims: Iterable[Claim], now: float) -> None:
        """Give places to those that follow, and forget what is over."""
        waiting = {c.meta.uid: c for c in claims if observe.waits(c) and c.status.nomination is None}
        for uid, kept in list(self._kept.items()):
            if kept.seen == NOT_YET:
                self._kept[uid] = kept = replace(kept, seen=now)
            gone = kept.seen < now
            if gone and (kept.heir not in waiting if kept.heir else now - kept.seen > KEPT_S):
                del self._kept[uid]
        free = [claim for uid, claim in waiting.items() if uid not in {kept.heir for kept in self._kept.values()}]
        for uid, kept in self._kept.items():
            heir = next((claim for claim in free if _pod(claim) == kept.pod), None)
            if heir is not None and not kept.heir:
                self._kept[uid] = replace(kept, heir=heir.meta.uid)
                free.remove(heir)


def _kept(claim: Claim, place: Grant) -> KeptPlace:
    request = replace(observe.request(claim), claim=observe.moved(claim))
    return KeptPlace(Holding(request, place, protected=observe.BEING_MOVED), _pod(claim), NOT_YET)


def _pod(claim: Claim) -> PodKey:
    return claim.spec.workload_uid, claim.spec.index
