"""Moves that are given, not looked for: are all of them legal together, and the plan that carries them out.

What an administrator saved a while ago, or wants back, is checked here against the cluster as it is: nobody is
moved who may not be, and every place must be free once those who move have left theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from solver.disruption.openings import of_grant
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant, Holding, OneDemand, Request, by_part
from solver.model.occupation import excludes
from solver.model.plan import Certificate, Method, Plan
from solver.model.snapshot import Policy, Snapshot
from solver.sequential.blocking import gpu_name
from solver.sequential.workspace import Workspace
from solver.working_copy.copy import WorkingCopy
from solver.working_copy.occupancy import WorkingGpu, WorkingNode
from solver.working_copy.scoring import gpu_options
from solver.working_copy.steps import StepList


@dataclass(frozen=True, slots=True)
class Relocations:
    """The plan of the moves that are legal together, and of each other claim why it stays, by uid."""

    plan: Plan
    refused: Mapping[str, str]


def relocate(snapshot: Snapshot, moves: Mapping[str, Grant], why: str, policy: Policy | None = None) -> Relocations:
    """Move claims (by uid) to these places, all at once. why: who wants it, for those who are moved."""
    policy, refused = policy or Policy(), dict[str, str]()
    while True:
        left = {claim: grant for claim, grant in moves.items() if claim not in refused}
        plan, lost = _Attempt(snapshot, policy).move(left, why)
        if not lost:
            return Relocations(plan, MappingProxyType(refused))
        refused |= lost


class _Attempt:
    """One try with all that are left."""

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self._copy = WorkingCopy(replace(snapshot, pending=()))
        self._work = Workspace(replace(snapshot, pending=()), policy, self._copy)
        self._policy = policy
        for request in snapshot.pending:  # what is being freed for others is theirs
            opening = of_grant(self._work.cluster, request, request.nominated) if request.nominated else None
            if opening:
                self._copy.give(request, opening.candidates, ())

    def move(self, moves: Mapping[str, Grant], why: str) -> tuple[Plan, dict[str, str]]:
        """The plan, and of those who cannot be moved why."""
        lost = {claim: stays for claim in moves if (stays := self._stays(claim, moves))}
        if lost:
            return Plan(), lost
        cluster, steps = self._work.cluster, StepList()
        holdings = [cluster.held[claim] for claim in moves]
        for holding in holdings:
            self._work.ledger.release(holding)
        cluster.mark_leaving(moves)
        for holding in holdings:
            claim, grant = holding.request.claim, moves[holding.request.claim]
            steps.evict(claim, "", f"moved to node {grant.node}: {why}")
        for holding in holdings:
            claim, grant = holding.request.claim, moves[holding.request.claim]
            if refusal := self._place(holding, grant, steps, tuple(moves)):
                lost[claim] = refusal
        return Plan(tuple(steps.steps), steps.after, MappingProxyType({}), _certificate(steps)), lost

    def _stays(self, claim: str, moves: Mapping[str, Grant]) -> str:
        """Why a claim may not be stopped now, "" where it may."""
        holding, victims = self._work.cluster.held.get(claim), self._work.victims
        if holding is None or holding.releasing:
            return "it is stopping" if holding else "it holds nothing any more"
        if not holding.request.preemptible:
            return "it is not preemptible"
        if holding.protected:
            return f"it is protected: {holding.protected}"
        if victims.fixed(claim):
            return "it has not run for its minimum time yet"
        if not victims.may_move(claim):
            return "it is not to be moved"
        if victims.new(victims.closure(frozenset(moves)) - moves.keys()) and holding.request.gang:
            return "the rest of its gang would have to stop with it"
        return ""

    def _place(self, holding: Holding, grant: Grant, steps: StepList, movers: tuple[str, ...]) -> str:
        """Give the holder its new place; why that cannot be, "" where it was done."""
        request = holding.request
        if refusal := self._no_place(request, grant):
            return refusal
        opening = of_grant(self._work.cluster, request, grant)
        if opening is None:
            return self._taken(grant)
        if not self._work.may_have(request, opening.candidates):
            return f"quota or limit of its project leave no room for it on node {grant.node}"
        self._copy.give(request, opening.candidates, (), " moved")
        steps.assign(request.claim, grant, opening.candidates, movers)
        return ""

    def _no_place(self, request: Request, grant: Grant) -> str:
        """Why it could not have the place even if that were free."""
        node = self._work.cluster.nodes.get(grant.node)
        if node is None or not node.reported.ready:
            return f"node {grant.node} is {'cordoned or not ready' if node else 'gone'}"
        if not node.allowed(request):
            return f"node {grant.node} may not run it"
        if len(grant.devices) != request.demand.devices:
            return "the place is not what it asks for"
        for part, shares in by_part(request.demand, grant.devices):
            if refusal := self._no_share(part, shares, node):
                return refusal
        return ""

    def _no_share(self, demand: OneDemand, shares: Sequence[DeviceShare], node: WorkingNode) -> str:
        if len({share.gpu for share in shares}) != len(shares):
            return "the place is not what it asks for"
        for share in shares:
            gpu = self._work.cluster.gpus.get(share.gpu)
            if gpu is None or gpu.node is not node:
                return f"GPU {share.gpu} is gone"
            if gpu.reported.fenced:
                return f"GPU {gpu_name(gpu.reported)} is fenced: {gpu.reported.fenced}"
            if gpu.reported.mig != (share.backing is Backing.MIG):
                return f"GPU {gpu_name(gpu.reported)} is {'in' if gpu.reported.mig else 'not in'} MIG mode now"
            if not self._answers(demand, share, gpu):
                return "the place is not what it asks for"
        return ""

    def _answers(self, demand: OneDemand, share: DeviceShare, gpu: WorkingGpu) -> bool:
        """Whether the share is one that the request may have of the GPU: what was stored is taken on trust nowhere."""
        for _, option in gpu_options(gpu, demand, self._policy):
            starts = option.profile.starts if option.profile else (None,)
            legal = option.share(gpu.reported, share.start) if share.start in starts else None
            if legal and math.isclose(legal.portion, share.portion) and replace(legal, portion=share.portion) == share:
                return True
        return False

    def _taken(self, grant: Grant) -> str:
        """Who stands where it would go."""
        cluster = self._work.cluster
        for share in grant.devices:
            others = [h for h in cluster.held.values() if h.request.claim not in cluster.leaving]
            here = (h.request.name for h in others if any(_in_the_way(s, share) for s in h.grant.devices))
            if names := sorted(set(here)):
                return f"{', '.join(names)} {'hold' if len(names) > 1 else 'holds'} its place"
        gpus = (cluster.gpus[share.gpu].reported for share in grant.devices)
        return f"its place on {', '.join(map(gpu_name, gpus))} is not free"


def _in_the_way(other: DeviceShare, share: DeviceShare) -> bool:
    return other.gpu == share.gpu and (share.backing is not Backing.MIG or excludes(other, share))


def _certificate(steps: StepList) -> Certificate:
    return Certificate(Method.GREEDY, 0.0, 0.0, steps.operations, 0)


def same_place(one: Grant | None, other: Grant | None) -> bool:
    """Whether two grants are the same place: GPUs, instances and their starts."""
    if one is None or other is None:
        return one is other
    return one.node == other.node and _shares(one) == _shares(other)


def _shares(grant: Grant) -> list[tuple[str, str, str, int]]:
    return sorted((share.gpu, share.backing.value, share.profile or "", share.start or 0) for share in grant.devices)
