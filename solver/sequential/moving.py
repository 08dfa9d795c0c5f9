"""Room by moving work: the fewest claims that, each given a new place at once, open one for a request.

Iterative deepening on the number of moved claims: a place is opened by moving its holders, and who
has to move may in turn take a place whose holders move. Of places of the preferred profile that as few
moves open, the one is taken after which the most slots are free. On a few GPUs every place is tried,
which makes the answer exact as long as the policy's `tries` last; on many GPUs the places of the best
nodes are (for more than one move, or several devices, the best of each), and beyond CHAINS_UP_TO GPUs
the moved take free places only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice
from operator import or_

from solver.disruption.openings import Opening, every
from solver.model.demand import Grant, Holding, Request, parts_of
from solver.quota.jobs import GangKey, QueuedJob, gang_key
from solver.sequential.workspace import Move, Workspace
from solver.working_copy.copy import Mark
from solver.working_copy.gangs import Domain, domains
from solver.working_copy.occupancy import WorkingGpu, WorkingNode
from solver.working_copy.scoring import gpu_options

Relocated = tuple[tuple[GangKey | None, str], ...]
_Mark = tuple[Mark, frozenset[str], Relocated]
EXHAUSTIVE_UP_TO = 16
CHAINS_UP_TO = 512
NODES_TRIED = 8
OPENED_COMPARED = 32


class Moving:
    """Looks for moves in a workspace. What is found is taken; a search without an answer leaves no trace."""

    def __init__(self, workspace: Workspace) -> None:
        self._work = workspace
        self._gpus = len(workspace.cluster.gpus)
        self._tries = 0
        self._deeper = False
        self._moved: frozenset[str] = frozenset()
        self._relocated: Relocated = ()

    def open(self, request: Request, domain: Domain, budget: int) -> tuple[Opening, Grant, list[Move]] | None:
        """A place for the request and new places for at most `budget` claims, as few as can be."""
        self._begin()
        small = self._gpus <= EXHAUSTIVE_UP_TO
        one = request.demand.devices == 1
        openings = (
            self._openings(request, domain.nodes if small else self._best_nodes(request, domain))
            if small or one
            else self._cheapest(request, domain)
        )
        for limit in range(budget + 1):
            self._deeper = False
            if limit > 1 and not small:
                openings = self._cheapest(request, domain)
            if best := self._best(request, openings, limit):
                self._begin()
                return self._try(request, best, limit)
            if not self._deeper:
                break
        return None

    def _best(self, request: Request, openings: Iterable[Opening], limit: int) -> Opening | None:
        """Of the openings that so many moves give: the preferred profile, the most slots left free, the cheaper."""
        found: list[tuple[int, int, Opening]] = []
        for opening in openings:
            mark = self._mark()
            if opened := self._try(request, opening, limit):
                gpus = {
                    candidate.gpu
                    for candidates in (opening.candidates, *(m.candidates for m in opened[2]))
                    for candidate in candidates
                }
                after = self._free_slots(gpus)
                self._undo(mark)
                found.append((-self._rank(request, opening), after - self._free_slots(gpus), opening))
                if len(found) == OPENED_COMPARED or not any(gpu.table for gpu in gpus):
                    break
        return max(found, key=lambda f: f[:2])[2] if found else None

    def _rank(self, request: Request, opening: Opening) -> int:
        """How far its first share's profile is from the preferred one, which a free place would have."""
        share, gpu = opening.candidates[0].share, opening.candidates[0].gpu
        options = gpu_options(gpu, parts_of(request.demand)[0], self._work.policy)
        return next(rank for rank, o in options if (o.profile.name if o.profile else None) == share.profile)

    def relocations(self, request: Request, opening: Opening) -> list[Move] | None:
        """Where those in an opening could go if just they were moved for the request; None where they cannot."""
        self._begin()
        victims = self._work.victims.new(opening.removed)
        if len(victims) < len(opening.removed) or not all(
            self._work.victims.may_move(v.request.claim) for v in victims
        ):
            return None
        mark = self._mark()
        opened = self._try(request, opening, len(victims))
        self._undo(mark)
        return opened[2] if opened else None

    def _try(self, request: Request, opening: Opening, limit: int) -> tuple[Opening, Grant, list[Move]] | None:
        victims = self._work.victims.new(opening.removed)
        self._deeper |= len(victims) > limit
        if len(victims) > limit or not self._work.may_have(request, opening.candidates):
            return None
        mark = self._mark()
        self._moved |= {victim.request.claim for victim in victims}
        grant = self._work.copy.give(request, opening.candidates, victims)
        moves = self._relocate(victims, limit - len(victims))
        if moves is None:
            self._undo(mark)
            return None
        return opening, grant, moves

    def _relocate(self, displaced: Sequence[Holding], limit: int) -> list[Move] | None:
        """A place for each, moving at most `limit` more; None where there is none, and nothing has changed then."""
        if not displaced:
            return []
        request = displaced[0].request
        for opening in self._places(request, limit):
            victims = self._work.victims.new(opening.removed)
            self._deeper |= len(victims) > limit
            if len(victims) > limit or not self._work.may_have(request, opening.candidates):
                continue
            if not self._tries:
                return None
            self._tries -= 1
            mark = self._mark()
            self._moved |= {victim.request.claim for victim in victims}
            grant = self._work.copy.give(request, opening.candidates, victims, " moved")
            self._relocated = (*self._relocated, (gang_key(request), grant.node))
            rest = self._relocate([*displaced[1:], *victims], limit - len(victims))
            if rest is not None:
                return [Move(request, opening.candidates, grant), *rest]
            self._undo(mark)
        return None

    def _places(self, request: Request, limit: int) -> Iterator[Opening]:
        """Places for one that has to move: free ones, or left by others who move, or to be left by `limit` at most."""
        key = gang_key(request)
        nodes = [
            *self._work.nodes(QueuedJob((request,))),
            *(node for gang, node in self._relocated if key and gang == key),
        ]
        for wide in domains(self._work.everywhere, request.gang, nodes):
            domain = self._work.affordable(request, wide)
            if self._gpus > EXHAUSTIVE_UP_TO:
                if candidates := self._work.free(request, domain):
                    yield Opening(tuple(candidates))
                if not limit or self._gpus > CHAINS_UP_TO:
                    continue
            small = self._gpus <= EXHAUSTIVE_UP_TO
            openings = self._openings(request, domain.nodes) if small else self._cheapest(request, domain)
            for opening in openings:
                if all(claim in self._moved or not self._work.victims.is_leaving(claim) for claim in opening.removed):
                    yield opening

    def _best_nodes(self, request: Request, domain: Domain) -> tuple[WorkingNode, ...]:
        """Those with the cheapest openings."""
        return tuple(opening.candidates[0].gpu.node for opening in self._cheapest(request, domain))

    def _openings(self, request: Request, nodes: Iterable[WorkingNode]) -> list[Opening]:
        """Every opening on these nodes, the cheapest first."""
        rights, cluster, policy = self._work.victims.movers(), self._work.cluster, self._work.policy
        found = [priced for node in nodes for priced in every(cluster, node, request, policy, rights)]
        return [opening for _, opening in sorted(found, key=lambda priced: priced[0])]

    def _cheapest(self, request: Request, domain: Domain) -> list[Opening]:
        """The cheapest openings of the best nodes."""
        return list(islice(self._work.search.ranked(request, self._work.victims.movers(), domain), NODES_TRIED))

    def _free_slots(self, gpus: Iterable[WorkingGpu]) -> int:
        """Once those leaving have left."""
        leaving, free = self._work.cluster.leaving, 0
        for gpu in (gpu for gpu in gpus if gpu.table):
            staying = (occupant.mask for occupant in gpu.occupants if occupant.claim not in leaving)
            free += gpu.table.free_slots(reduce(or_, staying, 0)) if gpu.table else 0
        return free

    def _begin(self) -> None:
        self._tries, self._moved, self._relocated = self._work.policy.tries, frozenset(), ()

    def _mark(self) -> _Mark:
        return self._work.copy.mark(), self._moved, self._relocated

    def _undo(self, mark: _Mark) -> None:
        copy, self._moved, self._relocated = mark
        self._work.copy.undo(copy)
