"""Room by moving work: the fewest claims that, each given a new place at once, open one for a request.

Iterative deepening on the number of moved claims: a place is opened by moving its holders, and who
has to move may in turn take a place whose holders move. Of places that as few moves open, the one is
taken after which the most slots are free. On a few GPUs every place is tried, which makes the answer
exact as long as the policy's `tries` last; on many GPUs the places of the best nodes are (for more than
one move, or several devices, the best of each), and beyond CHAINS_UP_TO GPUs the moved take free places only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice
from operator import or_

from solver.disruption.windows import Window, every
from solver.model.demand import Grant, Holding, Request
from solver.quota.jobs import GangKey, Job, gang_key
from solver.sequential.workspace import Move, Workspace
from solver.working_copy.copy import Mark
from solver.working_copy.gangs import Domain, domains
from solver.working_copy.occupancy import Board, Host

Settled = tuple[tuple[GangKey | None, str], ...]
_Mark = tuple[Mark, frozenset[str], Settled]
EXHAUSTIVE_UP_TO = 16
CHAINS_UP_TO = 512
NODES_TRIED = 8
OPENED_COMPARED = 32


class Moving:
    """Looks for moves in a workspace. What is found is taken; a search without an answer leaves no trace."""

    def __init__(self, workspace: Workspace) -> None:
        self._work = workspace
        self._boards = len(workspace.cluster.boards)
        self._tries = 0
        self._deeper = False
        self._moved: frozenset[str] = frozenset()
        self._settled: Settled = ()

    def open(self, request: Request, domain: Domain, budget: int) -> tuple[Window, Grant, list[Move]] | None:
        """A place for the request and new places for at most `budget` claims, as few as can be."""
        self._begin()
        small = self._boards <= EXHAUSTIVE_UP_TO
        one = request.demand.devices == 1
        windows = (
            self._windows(request, domain.hosts if small else self._best_hosts(request, domain))
            if small or one
            else self._cheapest(request, domain)
        )
        for limit in range(budget + 1):
            self._deeper = False
            if limit > 1 and not small:
                windows = self._cheapest(request, domain)
            if best := self._best(request, windows, limit):
                self._begin()
                return self._try(request, best, limit)
            if not self._deeper:
                break
        return None

    def _best(self, request: Request, windows: Iterable[Window], limit: int) -> Window | None:
        """Of the windows that so many moves open the one after which the most slots are free, the cheaper of equals."""
        found: list[tuple[int, Window]] = []
        for window in windows:
            mark = self._mark()
            if opened := self._try(request, window, limit):
                boards = {seat.board for seats in (window.seats, *(m.seats for m in opened[2])) for seat in seats}
                after = self._free_slots(boards)
                self._undo(mark)
                found.append((after - self._free_slots(boards), window))
                if len(found) == OPENED_COMPARED or not any(board.table for board in boards):
                    break
        return max(found, key=lambda f: f[0])[1] if found else None

    def homes(self, request: Request, window: Window) -> list[Move] | None:
        """Where those in a window could go if just they were moved for the request; None where they cannot."""
        self._begin()
        victims = self._work.victims.new(window.gone)
        if len(victims) < len(window.gone) or any(self._work.victims.fixed(v.request.claim) for v in victims):
            return None
        mark = self._mark()
        opened = self._try(request, window, len(victims))
        self._undo(mark)
        return opened[2] if opened else None

    def _try(self, request: Request, window: Window, limit: int) -> tuple[Window, Grant, list[Move]] | None:
        victims = self._work.victims.new(window.gone)
        self._deeper |= len(victims) > limit
        if len(victims) > limit or not self._work.may_have(request, window.seats):
            return None
        mark = self._mark()
        self._moved |= {victim.request.claim for victim in victims}
        grant = self._work.copy.give(request, window.seats, victims)
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
            victims = self._work.victims.new(window.gone)
            self._deeper |= len(victims) > limit
            if len(victims) > limit or not self._work.may_have(request, window.seats):
                continue
            if not self._tries:
                return None
            self._tries -= 1
            mark = self._mark()
            self._moved |= {victim.request.claim for victim in victims}
            grant = self._work.copy.give(request, window.seats, victims, " moved")
            self._settled = (*self._settled, (gang_key(request), grant.node))
            rest = self._settle([*homeless[1:], *victims], limit - len(victims))
            if rest is not None:
                return [Move(request, window.seats, grant), *rest]
            self._undo(mark)
        return None

    def _places(self, request: Request, limit: int) -> Iterator[Window]:
        """Places for one that has to move: free ones, or left by others who move, or to be left by `limit` at most."""
        key = gang_key(request)
        nodes = [*self._work.nodes(Job((request,))), *(node for gang, node in self._settled if key and gang == key)]
        for wide in domains(self._work.everywhere, request.gang, nodes):
            domain = self._work.affordable(request, wide)
            if self._boards > EXHAUSTIVE_UP_TO:
                if seats := self._work.free(request, domain):
                    yield Window(tuple(seats))
                if not limit or self._boards > CHAINS_UP_TO:
                    continue
            small = self._boards <= EXHAUSTIVE_UP_TO
            windows = self._windows(request, domain.hosts) if small else self._cheapest(request, domain)
            for window in windows:
                if all(claim in self._moved or not self._work.victims.is_leaving(claim) for claim in window.gone):
                    yield window

    def _best_hosts(self, request: Request, domain: Domain) -> tuple[Host, ...]:
        """Those with the cheapest windows."""
        return tuple(window.seats[0].board.host for window in self._cheapest(request, domain))

    def _windows(self, request: Request, hosts: Iterable[Host]) -> list[Window]:
        """Every window on these nodes, the cheapest first."""
        licence, cluster, policy = self._work.victims.movers(), self._work.cluster, self._work.policy
        found = [priced for host in hosts for priced in every(cluster, host, request, policy, licence)]
        return [window for _, window in sorted(found, key=lambda priced: priced[0])]

    def _cheapest(self, request: Request, domain: Domain) -> list[Window]:
        """The cheapest windows of the best nodes."""
        return list(islice(self._work.search.ranked(request, self._work.victims.movers(), domain), NODES_TRIED))

    def _free_slots(self, boards: Iterable[Board]) -> int:
        """Once those leaving have left."""
        leaving, free = self._work.cluster.leaving, 0
        for board in (board for board in boards if board.table):
            staying = (occupant.mask for occupant in board.occupants if occupant.claim not in leaving)
            free += board.table.free_slots(reduce(or_, staying, 0)) if board.table else 0
        return free

    def _begin(self) -> None:
        self._tries, self._moved, self._settled = self._work.policy.tries, frozenset(), ()

    def _mark(self) -> _Mark:
        return self._work.copy.mark(), self._moved, self._settled

    def _undo(self, mark: _Mark) -> None:
        copy, self._moved, self._settled = mark
        self._work.copy.undo(copy)
