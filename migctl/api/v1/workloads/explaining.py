"""Why a workload is in its phase, as its reader may know it."""

from __future__ import annotations

from migctl.access.visible import shown
from migctl.api.v1.schemas.verdicts import WhyOut
from migctl.api.v1.service import CallersService
from migctl.api.v1.workloads.rows import rows_of
from migctl.backends.protocol import Forbidden
from migctl.explanation.leaving import waiting_for_nodes
from migctl.explanation.waiting import WhyItWaits, plan_about, waiting_of
from migctl.objects import Claim, GpuNode, PlacementPlan, Workload, newest_first


async def why_of(door: CallersService, workload: Workload) -> WhyOut:
    """Decided on the state of now where there is a planner, else what the statuses say. Raises Unavailable."""
    row = (await rows_of(door.service)).of(workload.meta.uid)
    found = row.pods if row is not None else ()
    pods = tuple(sorted((shown(pod, door.seen) for pod in found), key=lambda pod: (pod.spec.index, pod.spec.attempt)))
    waiting, planner = waiting_of(pods), door.service.planner
    unplaced = await planner.unplaced(waiting, door.seen.sees_project) if planner is not None and waiting else {}
    blocking = {uid for reason in unplaced.values() if reason.blockers for uid in reason.blockers.claims}
    claims = {claim.meta.uid: claim for claim in door.service.view.all(Claim) if claim.meta.uid in blocking}
    leaving = waiting_for_nodes(
        workload, pods, door.seen.all(GpuNode), door.service.planner is None, door.service.clock
    )
    plan = plan_about(newest_first(await _plans(door)), waiting) if waiting else None
    document = WhyItWaits(workload, pods, plan, unplaced, claims, leaving).document()
    hidden = (reason.blockers.claims.count("") for reason in unplaced.values() if reason.blockers)
    told = {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}
    return WhyOut.model_validate({**told, "hiddenBlockers": max(hidden, default=0)})


async def _plans(door: CallersService) -> tuple[PlacementPlan, ...]:
    """The plans that he may read."""
    try:
        return (await door.control.list(PlacementPlan)).items
    except Forbidden:
        return ()
