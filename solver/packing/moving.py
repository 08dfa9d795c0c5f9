"""Room by moving work: the fewest claims that, each given a new place at once, open one for a request.

Iterative deepening on the number of moved claims: a place is opened by moving its holders, and who
has to move may in turn take a place whose holders move. On a few GPUs every place is tried, which
makes the answer exact as long as the policy's `tries` last; on many GPUs the best places of the best
nodes are, and beyond CHAINS_UP_TO GPUs the moved take free places only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from solver.disruption.windows import Window, every
from solver.model.demand import Grant, Holding, Request
from solver.packing.gangs import Domain, domains
from solver.packing.occupancy import Seat
from solver.quota.jobs import GangKey, Job, gang_key

if TYPE_CHECKING:
    from solver.packing.draft import Draft

Settled = tuple[tuple[GangKey | None, str], ...]
_Mark = tuple[int, int, frozenset[str], Settled]
EXHAUSTIVE_UP_TO = 16
CHAINS_UP_TO = 512
NODES_TRIED = 8


@dataclass(frozen=True, slots=True)
class Move:
    """A new place for a claim that makes room."""

    request: Request
    seats: tuple[Seat, ...]
    grant: Grant


class Moving:
    """Looks for moves on a draft. What is found is taken; a search without an answer leaves no trace."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._boards = len(draft.cluster.boards)
        self._tries = 0
        self._deeper = False
        self._moved: frozenset[str] = frozenset()
        self._settled: Settled = ()

    def open(self, request: Request, domain: Domain, budget: int) -> tuple[Window, Grant, list[Move]] | None:
        """A place for the request and new places for at most `budget` claims, as few as can be."""
        self._begin()
        for limit in range(budget + 1):
            self._deeper = False
            for window in self._windows(request, domain):
                if opened := self._try(request, window, limit):
                    return opened
            if not self._deeper:
                break
        return None

    def homes(self, request: Request, window: Window) -> list[Move] | None:
        """Where those in a window could go if just they were moved for the request; None where they cannot."""
        self._begin()
        victims = self._draft.victims.new(window.gone)
        if len(victims) < len(window.gone) or any(self._draft.victims.fixed(v.request.claim) for v in victims):
            return None
        mark = self._mark()
        opened = self._try(request, window, len(victims))
        self._undo(mark)
        return opened[2] if opened else None

    def _try(self, request: Request, window: Window, limit: int) -> tuple[Window, Grant, list[Move]] | None:
        victims = self._draft.victims.new(window.gone)
        self._deeper |= len(victims) > limit
        if len(victims) > limit or not self._draft.may_have(request, window.seats):
            return None
        mark = self._mark()
        self._moved |= {victim.request.claim for victim in victims}
        grant = self._draft.give(request, window, victims)
        moves = self._settle(victims, limit - len(victims))
        if moves is None:
            self._undo(mark)
            return None
        return window, grant, moves

    def _settle(self, homeless: Sequence[Holding], limit: int) -> list[Move] | None:
        """A place for each, moving at most `limit` more; None where there is none, and nothing has changed then."""
        if not homeless:
            return []
        request = homeless[0].request
        for window in self._places(request, limit):
            victims = self._draft.victims.new(window.gone)
            self._deeper |= len(victims) > limit
            if len(victims) > limit or not self._draft.may_have(request, window.seats):
                continue
            if not self._tries:
                return None
            self._tries -= 1
            mark = self._mark()
            self._moved |= {victim.request.claim for victim in victims}
            grant = self._draft.give(request, window, victims, " moved")
            self._settled = (*self._settled, (gang_key(request), grant.node))
            rest = self._settle([*homeless[1:], *victims], limit - len(victims))
            if rest is not None:
                return [Move(request, window.seats, grant), *rest]
            self._undo(mark)
        return None

    def _places(self, request: Request, limit: int) -> Iterator[Window]:
        """Places for one that has to move: free ones, or left by others who move, or to be left by `limit` at most."""
        key = gang_key(request)
        nodes = [*self._draft.nodes(Job((request,))), *(node for gang, node in self._settled if key and gang == key)]
        for wide in domains(self._draft.everywhere, request.gang, nodes):
            domain = self._draft.affordable(request, wide)
            if self._boards > EXHAUSTIVE_UP_TO:
                if seats := self._draft.free(request, domain):
                    yield Window(tuple(seats))
                if not limit or self._boards > CHAINS_UP_TO:
                    continue
            for window in self._windows(request, domain):
                if all(claim in self._moved or not self._draft.victims.is_leaving(claim) for claim in window.gone):
                    yield window

    def _windows(self, request: Request, domain: Domain) -> Iterator[Window]:
        licence = self._draft.victims.movers()
        if self._boards > EXHAUSTIVE_UP_TO:
            yield from list(islice(self._draft.search.ranked(request, licence, domain), NODES_TRIED))
            return
        cluster, policy = self._draft.cluster, self._draft.policy
        found = [priced for host in domain.hosts for priced in every(cluster, host, request, policy, licence)]
        yield from (window for _, window in sorted(found, key=lambda priced: priced[0]))

    def _begin(self) -> None:
        self._tries, self._moved, self._settled = self._draft.policy.tries, frozenset(), ()

    def _mark(self) -> _Mark:
        return self._draft.cluster.mark(), self._draft.ledger.mark(), self._moved, self._settled

    def _undo(self, mark: _Mark) -> None:
        cluster, ledger, self._moved, self._settled = mark
        self._draft.cluster.undo(cluster)
        self._draft.ledger.undo(ledger)
        self._draft.search.undo(ledger)
