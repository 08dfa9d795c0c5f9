"""Who is in the way of a request that finds no room: where the fewest are, and what would open the place."""

from __future__ import annotations

from solver.disruption.openings import Opening
from solver.model.cluster import Gpu
from solver.model.demand import Request
from solver.model.geometry import Placement
from solver.model.occupation import MILLIONTHS
from solver.model.reasons import Blockers, BlockingClaim, NeededGpu, RoomHeld, Stays
from solver.model.snapshot import Snapshot
from solver.sequential.moving import Moving
from solver.sequential.workspace import Workspace
from solver.working_copy.occupancy import Candidate, Occupant

RESERVED = " reserved"
"""Ends the claim of a request for which room is reserved."""


def gpu_name(gpu: Gpu) -> str:
    """The GPU as people name it."""
    return f"{gpu.node}/{gpu.index}"


def blockers(opening: Opening) -> Blockers:
    """Those that would have to go."""
    share = opening.candidates[0].share
    return Blockers(share.gpu, share.profile, share.start, tuple(sorted(opening.removed)))


class BlockingReport:
    """Facts about one plan's openings."""

    def __init__(self, snapshot: Snapshot, workspace: Workspace) -> None:
        self._work, self._moving = workspace, Moving(workspace)
        self._pending = {request.claim: request for request in snapshot.pending}

    def held(self, request: Request, opening: Opening, ahead: bool) -> RoomHeld:
        """What is in the way of an opening. ahead: it was free until requests ahead of this one took it."""
        here = {o.claim for candidate in opening.candidates for o in candidate.gpu.occupants}
        moves = self._moving.relocations(request, opening) or ()
        return RoomHeld(
            request.demand,
            opening.candidates[0].gpu.reported.node,
            tuple(self._gpu(candidate, opening) for candidate in opening.candidates),
            tuple(self.holder(claim) for claim in sorted(opening.removed - here)),
            tuple((self.holder(m.request.claim), gpu_name(m.candidates[0].gpu.reported)) for m in moves),
            ahead,
        )

    def holder(self, claim: str, start: int | None = None) -> BlockingClaim:
        """A claim in the way; start: of its instance there."""
        holding = self._work.cluster.held.get(claim)
        if holding is None:
            request = self._pending.get(claim.removesuffix(RESERVED))
            name, project = (request.name, request.project) if request else (claim, "")
            return BlockingClaim(claim, name, project, None, None, start, Stays.AHEAD)
        request = holding.request
        profile = next((share.profile for share in holding.grant.devices if share.profile), None)
        return BlockingClaim(
            claim,
            request.name,
            request.project,
            request.demand,
            profile,
            start,
            self._stays(claim),
            holding.protected,
        )

    def _gpu(self, candidate: Candidate, opening: Opening) -> NeededGpu:
        gpu, share = candidate.gpu, candidate.share
        removed = [o for o in gpu.occupants if o.claim in opening.removed]
        free_portion = (MILLIONTHS - gpu.millionths) / MILLIONTHS
        free_mib = gpu.reported.memory_mib - gpu.memory_mib
        if gpu.table is None or share.profile is None or share.start is None:
            holders = self._holders(removed)
            return NeededGpu(gpu_name(gpu.reported), None, None, (), 0, 0, free_portion, free_mib, holders)
        profile = gpu.table.model.profile(share.profile)
        assert profile is not None
        mask = gpu.mask_of(Placement(share.profile, share.start))
        return NeededGpu(
            gpu_name(gpu.reported),
            share.profile,
            share.start,
            profile.starts,
            profile.size,
            gpu.table.model.units - gpu.mask.bit_count(),
            free_portion,
            free_mib,
            self._holders([o for o in removed if o.mask & mask]),
            self._holders([o for o in removed if not o.mask & mask]),
        )

    def _holders(self, occupants: list[Occupant]) -> tuple[BlockingClaim, ...]:
        return tuple(self.holder(o.claim, o.start) for o in occupants if o.claim)

    def _stays(self, claim: str) -> Stays:
        holding = self._work.cluster.held[claim]
        if claim in self._work.cluster.leaving:
            return Stays.STOPPING
        if not holding.request.preemptible:
            return Stays.NOT_PREEMPTIBLE
        if holding.protected:
            return Stays.PROTECTED
        if self._work.victims.fixed(claim):
            return Stays.MINIMUM_RUNTIME
        return Stays.NOWHERE_ELSE if holding.request.movable else Stays.NOT_MOVABLE
