"""Why a request has no place, for people: a code, a sentence with the numbers, the smallest set of blockers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import cached_property

from solver.disruption.openings import Opening
from solver.model.demand import MigProfile, Request, WholeGpus
from solver.model.plan import Code, Unplaced
from solver.model.snapshot import Policy, Snapshot
from solver.sequential.blocking import BlockingReport, blockers, demand_text, gpu_text, listed
from solver.sequential.workspace import Workspace
from solver.working_copy.free_candidates import FreeCandidates
from solver.working_copy.gangs import Domain
from solver.working_copy.occupancy import WorkingCluster, WorkingGpu, WorkingNode
from solver.working_copy.scoring import gpu_options
from solver.working_copy.shapes import shape


class Explainer:
    """Reasons on the finished draft. Requests of one shape have one reason: it is looked for once."""

    def __init__(self, snapshot: Snapshot, workspace: Workspace) -> None:
        self._snapshot = snapshot
        self._work = workspace
        self._verdict = BlockingReport(snapshot, workspace)
        self._reasons: dict[Hashable, Unplaced] = {}
        self._were_free: dict[Hashable, bool] = {}

    def explain(self, request: Request) -> Unplaced:
        """Why there is no room for a request that no rule of quota holds back."""
        key = shape(request)
        if key not in self._reasons:
            self._reasons[key] = self._look(request)
        return self._reasons[key]

    def reserved(self, request: Request, opening: Opening) -> Unplaced:
        """What a request waits for, for which room is reserved."""
        names = listed(self._verdict.name(claim) for claim in sorted(opening.removed))
        reserved = f"{demand_text(request.demand)} on node {opening.candidates[0].gpu.reported.node} is reserved for it"
        return Unplaced(Code.NO_FREE_GPU, f"it has waited long: {reserved} until {names} end", blockers(opening))

    def was_free(self, request: Request) -> bool:
        """Whether there was a place for it before the plan."""
        key = shape(request)
        if key not in self._were_free:
            candidates, everywhere = self._before
            self._were_free[key] = bool(candidates.best(request, everywhere))
        return self._were_free[key]

    @cached_property
    def _before(self) -> tuple[FreeCandidates, Domain]:
        """The candidates that were free before the plan."""
        cluster = WorkingCluster(self._snapshot)
        return FreeCandidates(cluster, self._work.policy), Domain((), tuple(cluster.nodes.values()))

    def _look(self, request: Request) -> Unplaced:
        cluster, policy = self._work.cluster, self._work.policy
        nodes = [node for node in cluster.nodes.values() if node.allowed(request)]
        if reason := _nowhere(self._snapshot, cluster, request, policy, nodes):
            return reason
        nearest = self._work.search.cheapest(request, self._work.victims.anyone(), self._work.everywhere)
        behind = self.was_free(request)
        prefix = "requests ahead of it take the room: " if behind else ""
        if nearest is None:
            code = Code.BEHIND_OTHERS if behind else Code.NO_FREE_GPU
            return Unplaced(code, prefix + _fixed(cluster, request, policy))
        if not nearest.removed:
            where = f"{demand_text(request.demand)} has a free place on {nearest.candidates[0].gpu.node.reported.name}"
            return Unplaced(Code.BEHIND_OTHERS, f"{where}, which it may not take now")
        code = Code.BEHIND_OTHERS if behind else _room_code(cluster, request, policy)
        return Unplaced(code, prefix + self._verdict.text(request, nearest), blockers(nearest))


def _nowhere(
    snapshot: Snapshot, cluster: WorkingCluster, request: Request, policy: Policy, nodes: list[WorkingNode]
) -> Unplaced | None:
    """The reason where no GPU it may use could serve it even if it were empty."""
    pools = sorted({node.pool for node in snapshot.nodes})
    unknown = [pool for pool in request.pools if pool not in pools]
    if request.pools and len(unknown) == len(request.pools):
        text = f"no node is in pool {', '.join(unknown)}; pools: {', '.join(pools) or 'none'}"
        return Unplaced(Code.NO_SUCH_POOL, text)
    if isinstance(request.demand, MigProfile) and (reason := _profile_unknown(snapshot, request.demand.profile)):
        return reason
    if not nodes:
        return Unplaced(Code.NO_MATCHING_NODE, _no_node(cluster, request))
    able = [sum(bool(gpu_options(gpu, request.demand, policy)) for gpu in node.gpus) for node in nodes]
    if max(able, default=0) < request.demand.devices:
        return Unplaced(Code.TOO_BIG, _too_big(request, nodes, max(able, default=0)))
    return None


def _profile_unknown(snapshot: Snapshot, profile: str) -> Unplaced | None:
    models = {m.id: m for m in snapshot.models.values() if m.profiles}
    if any(m.profile(profile) for m in models.values()):
        return None
    valid = "; ".join(f"{m.id}: {', '.join(p.name for p in m.profiles)}" for m in models.values())
    return Unplaced(Code.NO_SUCH_PROFILE, f"no GPU here has the profile {profile!r}; {valid or 'no GPU here has MIG'}")


def _no_node(cluster: WorkingCluster, request: Request) -> str:
    reasons = []
    for node in cluster.nodes.values():
        name, pool = node.reported.name, node.reported.pool
        if not node.reported.ready:
            reasons.append(f"{name} is not ready")
        elif name in request.excluded:
            reasons.append(f"{name} refused it a short while ago")
        elif request.pools and pool not in request.pools:
            reasons.append(f"{name} is in pool {pool}")
        else:
            reasons.append(f"{name} has not the labels it asks for")
    return f"no node may run it: {listed(reasons) or 'there is no node'}"


def _too_big(request: Request, nodes: list[WorkingNode], able: int) -> str:
    gpus = [gpu.reported for node in nodes for gpu in node.gpus]
    usable = [gpu for gpu in gpus if not gpu.fenced]
    if not usable:
        return "every GPU it may use is fenced: " + listed(f"{gpu_text(g)}: {g.fenced}" for g in gpus)
    if able:
        most = "1 GPU" if able == 1 else f"{able} GPUs"
        return f"{demand_text(request.demand)} on one node: the best node has {most} that could serve it"
    if isinstance(request.demand, MigProfile):
        return f"no GPU in MIG mode has the profile {request.demand.profile}; software shares cannot stand in for it"
    if isinstance(request.demand, WholeGpus):
        return "every GPU it may use is in MIG mode and serves instances only; ask for the largest MIG profile"
    largest = max(g.memory_mib for g in usable)
    return f"{demand_text(request.demand)} is more than any GPU has: the largest has {largest} MiB"


def _room_code(cluster: WorkingCluster, request: Request, policy: Policy) -> Code:
    """NO_LEGAL_START where some GPU has units enough, only not in one legal place."""
    for gpu, size in _sizes(cluster, request, policy):
        if gpu.table and gpu.table.model.units - gpu.mask.bit_count() >= size:
            return Code.NO_LEGAL_START
    return Code.NO_FREE_GPU


def _sizes(cluster: WorkingCluster, request: Request, policy: Policy) -> Iterable[tuple[WorkingGpu, int]]:
    for node in cluster.nodes.values():
        for gpu in node.gpus if node.allowed(request) else ():
            for _, option in gpu_options(gpu, request.demand, policy)[:1]:
                yield gpu, option.profile.size if option.profile else 0


def _fixed(cluster: WorkingCluster, request: Request, policy: Policy) -> str:
    """Where it would not fit even if all work of ours ended."""
    others = [
        f"{gpu_text(gpu.reported)}: {o.text}"
        for gpu, _ in _sizes(cluster, request, policy)
        for o in gpu.occupants
        if o.claim is None
    ]
    if others:
        return f"{demand_text(request.demand)} is blocked by what migctl may not touch: {listed(others)}"
    return f"no node it may use has the CPU and memory for {demand_text(request.demand)}, even without any other work"
