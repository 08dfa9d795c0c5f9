"""The verdict on a request that finds no room: where the fewest are in its way, who, and what would free it."""

from __future__ import annotations

from collections.abc import Iterable

from solver.disruption.openings import Opening
from solver.gpu_tables.tables import size_text
from solver.model.cluster import Gpu
from solver.model.demand import Demand, Fraction, Memory, Request, WholeGpus
from solver.model.geometry import Placement, Profile
from solver.model.occupation import MILLIONTHS
from solver.model.plan import Blockers
from solver.model.snapshot import Snapshot
from solver.sequential.moving import Moving
from solver.sequential.workspace import Workspace
from solver.working_copy.occupancy import Candidate, Occupant, WorkingGpu


def demand_text(demand: Demand) -> str:
    """A demand as people write it: "2 x 0.5 GPU"."""
    if isinstance(demand, WholeGpus):
        return f"{demand.devices} whole GPU{'s' if demand.devices > 1 else ''}"
    if isinstance(demand, Fraction):
        one = f"{demand.portion:g} GPU"
    else:
        one = f"{size_text(demand.mib)} of GPU memory" if isinstance(demand, Memory) else demand.profile
    return one if demand.devices == 1 else f"{demand.devices} x {one}"


def gpu_text(gpu: Gpu) -> str:
    return f"{gpu.node}/{gpu.index}"


def listed(parts: Iterable[str], most: int = 4) -> str:
    texts = list(parts)
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def blockers(opening: Opening) -> Blockers:
    share = opening.candidates[0].share
    return Blockers(share.gpu, share.profile, share.start, tuple(sorted(opening.removed)))


class BlockingReport:
    """The sentences on one plan's openings."""

    def __init__(self, snapshot: Snapshot, workspace: Workspace) -> None:
        self._work, self._moving = workspace, Moving(workspace)
        self._now = snapshot.now
        self._pending = {request.claim: request.name for request in snapshot.pending}

    def text(self, request: Request, opening: Opening) -> str:
        """As in: GPU n0/3 needs 4 units together at 0 or 4 ...; x (1g.5gb) at 5 blocks 4; one move frees it: ...."""
        where = [self._candidate(request, candidate, opening) for candidate in opening.candidates]
        here = {o.claim for candidate in opening.candidates for o in candidate.gpu.occupants}
        if others := sorted(opening.removed - here):
            node = opening.candidates[0].gpu.reported.node
            where.append(f"{listed(map(self.name, others))} on node {node} for its CPU, memory or distance")
        what, share = demand_text(request.demand), opening.candidates[0].share
        lead = f"no free start for {what}" if share.profile else f"no GPU has {what} free"
        return f"{lead}: {listed(where)}; {self._way_out(request, opening)}"

    def name(self, claim: str) -> str:
        """A blocker as people know it, with what it holds."""
        holding = self._work.cluster.held.get(claim)
        if holding is None:
            return self._pending.get(claim.removesuffix(" reserved"), claim)
        share = next((s.profile for s in holding.grant.devices if s.profile), None)
        return f"{holding.request.name} ({share or demand_text(holding.request.demand)})"

    def _candidate(self, request: Request, candidate: Candidate, opening: Opening) -> str:
        gpu, share = candidate.gpu, candidate.share
        removed = [o for o in gpu.occupants if o.claim in opening.removed]
        if gpu.table is None or share.profile is None or share.start is None:
            rest = f"GPU {gpu_text(gpu.reported)} has {(MILLIONTHS - gpu.millionths) / MILLIONTHS:g} free"
            held = listed(self.name(o.claim or "") for o in removed)
            return f"{rest}; {held} {_verb(removed, 'holds', 'hold')} what it needs" if removed else rest
        profile = gpu.table.model.profile(share.profile)
        assert profile is not None
        free = gpu.table.model.units - gpu.mask.bit_count()
        units = f"{profile.size} units together" if profile.size > 1 else "a unit"
        needs = f"GPU {gpu_text(gpu.reported)} needs {units} at {_starts(profile)} and has {free} free units"
        return "; ".join((needs, *self._in_the_way(gpu, Placement(share.profile, share.start), removed)))

    def _in_the_way(self, gpu: WorkingGpu, place: Placement, removed: list[Occupant]) -> Iterable[str]:
        mask = gpu.mask_of(place)
        units = [o for o in removed if o.mask & mask]
        media = [o for o in removed if not o.mask & mask]
        if units:
            names = listed(f"{self.name(o.claim or '')} at {o.start}" for o in units)
            yield f"{names} {_verb(units, 'blocks', 'block')} {place.start}"
        if media:
            names = listed(f"{self.name(o.claim or '')} at {o.start}" for o in media)
            yield f"{names} {_verb(media, 'has', 'have')} the media engines it needs"

    def _way_out(self, request: Request, opening: Opening) -> str:
        moves = self._moving.relocations(request, opening)
        if moves:
            there = listed(f"{self.name(m.request.claim)} to {gpu_text(m.candidates[0].gpu.reported)}" for m in moves)
            return f"one move frees it: {there}" if len(moves) == 1 else f"{len(moves)} moves free it: {there}"
        return listed(self._stands(claim) for claim in sorted(opening.removed)) or "nobody has to go for it"

    def _stands(self, claim: str) -> str:
        """Why a blocker is still there."""
        holding = self._work.cluster.held.get(claim)
        name = holding.request.name if holding else self.name(claim)
        if claim in self._work.cluster.leaving:
            return f"{name} is stopping"
        if holding is None:
            return f"{name} goes before it"
        if not holding.request.preemptible:
            return f"{name} is not preemptible"
        if holding.protected:
            return f"{name} is protected: {holding.protected}"
        if self._work.victims.fixed(claim):
            return f"{name} has not run for its minimum time yet"
        return f"{name} would have to end: no other place is free for it"


def _starts(profile: Profile) -> str:
    first, last = profile.starts[0], profile.starts[-1]
    if len(profile.starts) > 3 and profile.starts == tuple(range(first, last + 1)):
        return f"{first} to {last}"
    return " or ".join(map(str, profile.starts))


def _verb(occupants: list[Occupant], one: str, several: str) -> str:
    return one if len(occupants) == 1 else several
