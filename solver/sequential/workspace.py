"""What a request could have now: the working copy under the rules of quota, limit and fair share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from solver.disruption.openings import NOBODY, Opening
from solver.disruption.search import Search
from solver.disruption.victims import EvictionRights, Victims
from solver.model.demand import Grant, Request
from solver.model.snapshot import Policy, Snapshot
from solver.quota.accounting import asked
from solver.quota.jobs import QueuedJob, gang_key
from solver.quota.ledger import Released, nothing
from solver.working_copy.copy import WorkingCopy
from solver.working_copy.free_candidates import FreeCandidates
from solver.working_copy.gangs import Domain
from solver.working_copy.occupancy import Candidate


@dataclass(frozen=True, slots=True)
class Move:
    """A new place for a claim that makes room."""

    request: Request
    candidates: tuple[Candidate, ...]
    grant: Grant


@dataclass(frozen=True, slots=True)
class PlannedGrant:
    """A request's place: its opening, those it makes go now (and why), those of them that are moved.

    waits_for: all whose going it waits for; a gang's members wait for one another's.
    """

    request: Request
    opening: Opening
    grant: Grant
    evicts: Mapping[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    waits_for: frozenset[str] = NOBODY


class Workspace:
    """The working copy, who may have to leave it, and the grants planned so far.

    places        what is known already of the copy's free places

    planned       grants of this plan, by claim
    beyond_quota  GPUs that a free place would have counted for, where quota or limit forbade it, by claim
    """

    def __init__(
        self, snapshot: Snapshot, policy: Policy, copy: WorkingCopy, places: FreeCandidates | None = None
    ) -> None:
        self.copy, self.cluster, self.ledger = copy, copy.cluster, copy.ledger
        self.policy = policy
        self.victims = Victims(snapshot, copy)
        self.search = Search(copy, policy)
        self.everywhere = Domain((), tuple(self.cluster.nodes.values()))
        self.planned: dict[str, PlannedGrant] = {}
        self.beyond_quota: dict[str, float] = {}
        self._models = snapshot.models
        self._parts: dict[Hashable, Domain] = {}
        self._places = places or FreeCandidates(self.cluster, policy)
        self._leaving_before = len(self.cluster.leaving)

    @property
    def budget(self) -> int:
        """Evictions that the policy still allows in this plan."""
        return self.policy.evictions - (len(self.cluster.leaving) - self._leaving_before)

    def wants(self, job: QueuedJob) -> float:
        """GPUs the job will count for."""
        return sum(asked(request.demand, self._models) for request in job.requests)

    def nodes(self, job: QueuedJob) -> list[str]:
        """Where members of the job's gang are, or will be."""
        key = gang_key(job.first)
        if key is None:
            return []
        running = [h.grant.node for h in self.victims.members(key) if h.request.claim not in self.cluster.leaving]
        return running + [found.grant.node for found in self.planned.values() if gang_key(found.request) == key]

    def affordable(self, request: Request, domain: Domain, released: Released = nothing) -> Domain:
        """The nodes of the domain in pools where quota and limit leave room for the demand."""
        names = self.ledger.candidates(request)
        least = asked(request.demand, self._models)
        paid = tuple(name for name in names if least <= self.ledger.headroom(request, name, released))
        if len(paid) == len(names):
            return domain
        key = (domain.name, paid)
        if key not in self._parts:
            self._parts[key] = Domain(key, tuple(node for node in domain.nodes if node.reported.pool in paid))
        return self._parts[key]

    def free(self, request: Request, domain: Domain) -> list[Candidate]:
        """The best place that is free now; [] where there is none."""
        candidates = self._places.best(request, domain)
        return candidates if candidates and self.may_have(request, candidates) else []

    def is_free(self, request: Request, domain: Domain) -> bool:
        """Whether any place is free, whatever quota and limit say."""
        return bool(self._places.best(request, domain))

    def may_have(self, request: Request, candidates: Sequence[Candidate], opening: Opening | None = None) -> bool:
        """Whether quota and limit, and for reclaimed room the fair share, cover what the candidates count for."""
        gpus = sum(candidate.share.portion for candidate in candidates)
        pool = candidates[0].gpu.node.reported.pool
        released = partial(self.victims.released, opening.removed) if opening else nothing
        if gpus > self.ledger.headroom(request, pool, released):
            self.beyond_quota[request.claim] = gpus
            return False
        return opening is None or self.victims.fairly(request, pool, gpus, opening.removed)

    def cheapest(self, request: Request, rights: EvictionRights, domain: Domain) -> Opening | None:
        """The cheapest opening that those open who may go, with the fewest more whose going a limit asks for."""
        may_yield = partial(self.victims.yields, request)
        opening = self.search.cheapest(request, rights, self.affordable(request, domain, may_yield))
        if opening is None:
            return None
        pool = opening.candidates[0].gpu.node.reported.pool
        gpus = sum(candidate.share.portion for candidate in opening.candidates)
        removed = self.victims.within_limit(request, pool, gpus, opening.removed, rights)
        return None if removed is None else replace(opening, removed=removed)
