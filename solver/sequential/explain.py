"""Why a request has no place: the first rule that bars it, else the cheapest place there would be and who holds it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from solver.disruption.openings import NOBODY, Opening
from solver.disruption.victims import Claims
from solver.gpu_tables.choices import choices
from solver.gpu_tables.tables import table
from solver.model import reasons
from solver.model.cluster import Gpu
from solver.model.demand import ContainerDemands, Memory, MigProfile, Request, parts_of, takes
from solver.model.reasons import Bar, BlockingClaim, Code, Facts, GangShort, QueueFigures, Unplaced
from solver.model.snapshot import MemoryRule, Policy, Snapshot
from solver.quota.pools import allows
from solver.sequential.blocking import BlockingReport, blockers, gpu_name
from solver.sequential.workspace import Workspace
from solver.working_copy.gangs import Domain, domains
from solver.working_copy.occupancy import WorkingCluster, WorkingGpu, WorkingNode
from solver.working_copy.scoring import able, candidates_on, gpu_options, ways
from solver.working_copy.shapes import shape

NEAREST = 8
"""The cheapest place is looked for on so many nodes, those with most free GPUs, before it is looked for on all."""
MOST_NAMED = 8
"""Nodes, GPUs and projects that one reason names."""


class Explainer:
    """Reasons on the finished draft. Requests of one shape have one reason: it is looked for once."""

    def __init__(self, snapshot: Snapshot, workspace: Workspace) -> None:
        self._snapshot = snapshot
        self._work = workspace
        self._report = BlockingReport(snapshot, workspace)
        self._reasons: dict[Hashable, Unplaced] = {}
        self._were_free: dict[Hashable, bool] = {}
        self._near: dict[Hashable, Domain] = {}

    def explain(self, request: Request) -> Unplaced:
        """Why there is no room for a request that no rule of quota holds back."""
        key = shape(request)
        if key not in self._reasons:
            found = self._look(request, self._work.everywhere)
            self._reasons[key] = replace(found, cordoned=self._cordoned(request, found.facts))
        reason = self._reasons[key]
        return replace(reason, figures=self._figures(request, reason.facts)) if _about_room(reason) else reason

    def explain_gang(self, members: Sequence[Request], running: Sequence[str]) -> Unplaced:
        """Why the members of a gang have no places together. running: nodes of members that have one."""
        gang = members[0].gang
        assert gang is not None
        own = frozenset(member.claim for member in members)
        best: tuple[int, Unplaced] | None = None
        for domain in domains(self._work.everywhere, gang, running):
            mark = self._work.copy.mark()
            placed, request = self._place(members, domain)
            if best is None or placed > best[0]:
                best = placed, self._look(request, domain, own if placed else NOBODY)
            self._work.copy.undo(mark)
        if best is None:
            return self.explain(members[0])
        placed, reason = best
        reason = replace(reason, cordoned=self._cordoned(members[0], reason.facts))
        if not _about_room(reason):
            return reason
        short = GangShort(gang.name, gang.size, placed + len(running))
        figures = self._figures(members[0], reason.facts)
        return replace(reason, code=Code.GANG_DOES_NOT_FIT, gang=short, figures=figures)

    def reserved(self, request: Request, opening: Opening) -> Unplaced:
        """What a request waits for, for which room is reserved."""
        holders = tuple(self._report.holder(claim) for claim in sorted(opening.removed))
        node = opening.candidates[0].gpu.reported.node
        facts = reasons.RoomReserved(request.demand, node, holders)
        return Unplaced(Code.NO_FREE_GPU, facts, blockers(opening))

    def was_free(self, request: Request) -> bool:
        """Whether there was a place for it before the plan."""
        key = shape(request)
        if key not in self._were_free:
            with self._work.cluster.rewound():
                self._were_free[key] = self._work.is_free(request, self._work.everywhere)
        return self._were_free[key]

    def _place(self, members: Sequence[Request], domain: Domain) -> tuple[int, Request]:
        """How many members find free places one after the other, and the first that does not (the last, if all do)."""
        for placed, request in enumerate(members):
            candidates = self._work.free(request, self._work.affordable(request, domain))
            if not candidates:
                return placed, request
            self._work.copy.give(request, candidates, ())
        return len(members), members[-1]

    def _look(self, request: Request, domain: Domain, own: Claims = NOBODY) -> Unplaced:
        """Why it has no place now. own: its gang's members that have one in the working copy, not in its way."""
        policy = self._work.policy
        nodes = [node for node in domain.nodes if node.allowed(request)]
        if reason := _nowhere(self._snapshot, self._work.cluster, request, policy, nodes):
            return reason
        nearest = self._nearest(request, domain, nodes)
        if nearest is not None and nearest.removed & own:
            nearest = self._nearest(request, domain, nodes, own)
            if nearest is None:
                return Unplaced(Code.GANG_DOES_NOT_FIT, reasons.NoRoomBesideMembers(request.demand))
        if nearest is None and self.was_free(request):
            return Unplaced(Code.BEHIND_OTHERS, reasons.RoomTaken(request.demand))
        if nearest is None:
            return _fixed(nodes, request, policy)
        if not nearest.removed:
            node = nearest.candidates[0].gpu.node.reported.name
            return Unplaced(Code.BEHIND_OTHERS, reasons.FreeForOthers(request.demand, node))
        ahead = not nearest.removed <= self._work.victims.held.keys() if own else self.was_free(request)
        return Unplaced(Code.NO_FREE_GPU, self._report.held(request, nearest, ahead), blockers(nearest))

    def _nearest(
        self, request: Request, domain: Domain, nodes: Sequence[WorkingNode], but: Claims = NOBODY
    ) -> Opening | None:
        """The cheapest opening, whoever has to go for it except `but`."""
        anyone, search = self._work.victims.anyone(but), self._work.search
        near = search.cheapest(request, anyone, self._nearby(request, domain, nodes))
        return near or search.cheapest(request, anyone, domain)

    def _cordoned(self, request: Request, facts: Facts) -> tuple[str, ...]:
        """The cordoned nodes that could serve it if they were empty, where the facts do not name them."""
        if isinstance(facts, reasons.NodesBarred | reasons.PoolsUnknown | reasons.ProfileUnknown):
            return ()
        nodes = (node for node in self._work.cluster.nodes.values() if node.reported.cordoned)
        policy, demand = self._work.policy, request.demand
        names = (
            node.reported.name
            for node in nodes
            if allows(node.reported, request) and able(node, demand, policy) >= demand.devices
        )
        return tuple(islice(names, MOST_NAMED))

    def _nearby(self, request: Request, domain: Domain, nodes: Sequence[WorkingNode]) -> Domain:
        """The part of the domain where a place is likely the cheapest."""
        if len(domain.nodes) <= NEAREST:
            return domain
        key = (domain.name, shape(request), "nearby")
        if key not in self._near:
            able = [node for node in nodes if ways(node, request.demand, self._work.policy)]
            able.sort(key=lambda node: node.used - len(node.gpus))
            self._near[key] = Domain(key, tuple(able[:NEAREST]))
        return self._near[key]

    def _figures(self, request: Request, facts: Facts) -> tuple[QueueFigures, ...]:
        """The accounts that matter: of the request's project, then of those that hold the room."""
        account = self._work.ledger.account_for(request)
        if account is None:
            return ()
        gpus = facts.gpus if isinstance(facts, reasons.RoomHeld) else ()
        holders = [holder for gpu in gpus for holder in gpu.holders]
        others = (self._work.ledger.account(name, account.pool) for name in _projects(holders, request.project))
        several = len(self._work.ledger.pools) > 1
        levels = (level for each in (account, *others) if each for level in each.chain)
        return tuple(level.figures(several) for level in list(dict.fromkeys(levels))[:MOST_NAMED])


def _projects(holders: Iterable[BlockingClaim], own: str) -> list[str]:
    return [name for name in dict.fromkeys(holder.project for holder in holders) if name and name != own]


def _about_room(reason: Unplaced) -> bool:
    return isinstance(
        reason.facts,
        reasons.RoomHeld
        | reasons.RoomTaken
        | reasons.FreeForOthers
        | reasons.OthersInTheWay
        | reasons.NoRoomBesideMembers,
    )


def _nowhere(
    snapshot: Snapshot, cluster: WorkingCluster, request: Request, policy: Policy, nodes: Sequence[WorkingNode]
) -> Unplaced | None:
    """The reason where no GPU it may use could serve it even if it were empty."""
    pools = sorted({node.pool for node in snapshot.nodes})
    unknown = tuple(pool for pool in request.pools if pool not in pools)
    if request.pools and len(unknown) == len(request.pools):
        return Unplaced(Code.NO_SUCH_POOL, reasons.PoolsUnknown(unknown, tuple(pools)))
    for demand in parts_of(request.demand):
        if demand.model and not any(takes(demand, known) for known in snapshot.models):
            return Unplaced(Code.NO_SUCH_MODEL, reasons.ModelUnknown(demand.model, tuple(sorted(snapshot.models))))
        if isinstance(demand, MigProfile) and (facts := _profile_unknown(snapshot, demand)):
            return Unplaced(Code.NO_SUCH_PROFILE, facts)
    if not nodes:
        return Unplaced(Code.NO_MATCHING_NODE, _barred(cluster, request))
    if isinstance(request.demand, ContainerDemands):
        return _no_node_for_containers(snapshot, cluster, request, policy, nodes)
    most = max(able(node, request.demand, policy) for node in nodes)
    return None if most >= request.demand.devices else _unable(snapshot, request, nodes, most, policy)


def _no_node_for_containers(
    snapshot: Snapshot, cluster: WorkingCluster, request: Request, policy: Policy, nodes: Sequence[WorkingNode]
) -> Unplaced | None:
    """The reason where no node could serve all containers even if it were empty."""
    assert isinstance(request.demand, ContainerDemands)
    for demand in request.demand.parts:
        if reason := _nowhere(snapshot, cluster, replace(request, demand=demand), policy, nodes):
            return reason
    bare = replace(request, cpu_milli=0, memory_mib=0, anti_affinity=None)
    if any(candidates_on(_emptied(node), bare, policy) for node in nodes):
        return None
    most = max(able(node, request.demand, policy) for node in nodes)
    return Unplaced(Code.TOO_BIG, reasons.TooFewGpus(request.demand, most))


def _emptied(node: WorkingNode) -> WorkingNode:
    """The node without any work of ours."""
    copy = node.copied()
    for gpu in copy.gpus:
        for claim in {occupant.claim for occupant in gpu.occupants if occupant.claim is not None}:
            gpu.remove(claim)
    return copy


def _profile_unknown(snapshot: Snapshot, demand: MigProfile) -> reasons.ProfileUnknown | None:
    models = {m.id: m for m in snapshot.models.values() if m.profiles and takes(demand, m.id)}
    if any(model.profile(demand.profile) for model in models.values()):
        return None
    return reasons.ProfileUnknown(demand.profile, {m.id: tuple(p.name for p in m.profiles) for m in models.values()})


def _barred(cluster: WorkingCluster, request: Request) -> reasons.NodesBarred:
    found, refusals = [], dict(request.refusals)
    for node in cluster.nodes.values():
        name, pool = node.reported.name, node.reported.pool
        if node.reported.cordoned and allows(node.reported, request):
            found.append((name, Bar.CORDONED, ""))
        elif not node.reported.ready:
            found.append((name, Bar.NOT_READY, ""))
        elif name in request.excluded:
            found.append((name, Bar.REFUSED, refusals.get(name, "")))
        elif request.pools and pool not in request.pools:
            found.append((name, Bar.POOL, pool))
        else:
            found.append((name, Bar.LABELS, _missing_labels(request.node_selector, node.reported.labels)))
    return reasons.NodesBarred(tuple(found[:MOST_NAMED]))


def _missing_labels(selector: Mapping[str, str], labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(selector.items()) if labels.get(key) != value)


def _unable(snapshot: Snapshot, request: Request, nodes: Sequence[WorkingNode], most: int, policy: Policy) -> Unplaced:
    """Why no node has GPUs enough that could serve it: fenced, in the other MIG mode, too few or too small."""
    demand = request.demand
    gpus = [gpu for node in nodes for gpu in node.gpus if takes(demand, gpu.reported.model)]

    def serves(gpu: Gpu, mig: bool) -> bool:
        model = snapshot.models.get(gpu.model)
        known = table(model) if mig and model and model.profiles else None
        return bool(choices(gpu.model, mig, gpu.memory_mib, known, demand, MemoryRule.PROPORTIONAL))  # any: see whether

    fenced = [gpu for gpu in gpus if gpu.reported.fenced and serves(gpu.reported, gpu.reported.mig)]
    usable = [gpu for gpu in gpus if not gpu.reported.fenced]
    if _enough(request, nodes, most, fenced):
        named = tuple((gpu_name(gpu.reported), gpu.reported.fenced) for gpu in fenced[:MOST_NAMED])
        return Unplaced(Code.GPUS_FENCED, reasons.GpusFenced(named))
    if differing := _differing(request, nodes, policy):
        return Unplaced(Code.GPUS_DIFFER, reasons.GpusDiffer(demand, differing))
    switched = [gpu for gpu in usable if serves(gpu.reported, not gpu.reported.mig)]
    if _enough(request, nodes, most, switched):
        names = tuple(gpu_name(gpu.reported) for gpu in switched[:MOST_NAMED])
        return Unplaced(Code.WRONG_MIG_MODE, reasons.MigModeDiffers(demand, switched[0].reported.mig, names))
    if not most and isinstance(demand, Memory) and usable:
        largest = max(gpu.reported.memory_mib for gpu in usable)
        return Unplaced(Code.TOO_BIG, reasons.LargerThanGpus(demand, largest))
    return Unplaced(Code.TOO_BIG, reasons.TooFewGpus(demand, most))


def _differing(request: Request, nodes: Sequence[WorkingNode], policy: Policy) -> tuple[tuple[str, str], ...]:
    """GPUs of one node that could serve it, each in its best way, where they are enough; () where no node has them."""
    for node in nodes:
        ways = ((gpu, gpu_options(gpu, request.demand, policy)) for gpu in node.gpus)
        found = [(gpu_name(g.reported), o[0][1].profile.name if o[0][1].profile else "") for g, o in ways if o]
        if len(found) >= request.demand.devices:
            return tuple(found[:MOST_NAMED])
    return ()


def _enough(request: Request, nodes: Sequence[WorkingNode], most: int, more: Sequence[WorkingGpu]) -> bool:
    """Whether with these GPUs as well some node could serve it."""
    wanted = request.demand.devices - most
    return bool(more) and max(sum(gpu.node is node for gpu in more) for node in nodes) >= wanted


def _fixed(nodes: Sequence[WorkingNode], request: Request, policy: Policy) -> Unplaced:
    """Why it would not fit even if all work of ours ended."""
    others = [
        (gpu_name(gpu.reported), occupant.text)
        for node in nodes
        for gpu in node.gpus
        if gpu_options(gpu, request.demand, policy)
        for occupant in gpu.occupants
        if occupant.claim is None
    ]
    if others:
        facts = reasons.OthersInTheWay(request.demand, tuple(others[:MOST_NAMED]))
        return Unplaced(Code.BLOCKED_BY_OTHERS, facts)
    free = tuple((n.reported.name, n.reported.cpu_milli, n.reported.memory_mib) for n in nodes[:MOST_NAMED])
    facts_of_host = reasons.NoCpuOrMemory(request.demand, request.cpu_milli, request.memory_mib, free)
    return Unplaced(Code.NO_CPU_OR_MEMORY, facts_of_host)
