"""What must be true whenever the cluster has come to rest, looked at from outside.

The reasons of what waits are held against GPUs, queues and clock by rules of this module's own: none of the planner's
code decides whether the planner told the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from migctl.objects import Claim, Event, GpuNode, Phase, Project, Workload
from solver.model.cluster import Gpu, InstanceState
from solver.model.demand import Fraction, Memory, MigProfile, OneDemand, WholeGpus
from solver.model.geometry import GpuModel, Placement, Profile, legal
from solver.model.reasons import Code
from tests.e2e.agreement import disagreement
from tests.e2e.embedded import Embedded

SLACK = 1e-6
ENDS = {Phase.COMPLETED, Phase.FAILED}


@dataclass(frozen=True)
class Look:
    """All objects, seen one kind after another."""

    workloads: tuple[Workload, ...]
    claims: tuple[Claim, ...]
    nodes: tuple[GpuNode, ...]
    projects: Mapping[str, Project]
    events: tuple[Event, ...]

    @classmethod
    def at(cls, one: Embedded) -> Look:
        projects = {project.meta.name: project for project in one.look(Project)}
        return cls(one.look(Workload), one.look(Claim), one.look(GpuNode), projects, one.look(Event))


def untruths(one: Embedded) -> list[str]:
    """What is not as it must be at rest; empty where all of it is."""
    look = Look.at(one)
    found = [*_stuck(look), *_false_reasons(look), *_untold_ends(look), *_left_over(one, look)]
    if not found and (difference := disagreement(one)):
        found.append(difference)
    return found


def _stuck(look: Look) -> Iterator[str]:
    for workload in look.workloads:
        if workload.meta.deleting is not None:
            yield f"workload {workload.meta.name} is Terminating: {workload.status.message}"
        if workload.status.phase is Phase.PENDING and not workload.status.reason:
            yield f"workload {workload.meta.name} is Pending for no reason"
    for claim in look.claims:
        if claim.meta.deleting is not None:
            yield f"pod {claim.meta.name} is Terminating: {claim.status.reason} {claim.status.message}"


def _untold_ends(look: Look) -> Iterator[str]:
    told = {(event.spec.uid, event.spec.reason) for event in look.events}
    about = {uid for uid, _ in told}
    for workload in look.workloads:
        uid = workload.meta.uid
        if workload.status.phase is Phase.COMPLETED and (uid, "Completed") not in told:
            yield f"workload {workload.meta.name} completed, and no event says so"
        if workload.status.phase is Phase.FAILED and (uid, workload.status.reason or "Failed") not in told:
            yield f"workload {workload.meta.name} failed ({workload.status.reason}), and no event says so"
        if workload.status.failed and uid not in about:
            yield f"pods of {workload.meta.name} failed, and no event says so"


def _left_over(one: Embedded, look: Look) -> Iterator[str]:
    living = {claim.meta.uid for claim in look.claims if claim.status.phase not in ENDS}
    for process, claim in one.programs():
        if claim not in living:
            yield f"process {process.pid} of claim {claim} lives on, and the claim has ended"


def _false_reasons(look: Look) -> Iterator[str]:
    waiting = [claim for claim in look.claims if claim.status.phase is Phase.PENDING and claim.meta.deleting is None]
    for claim in waiting:
        if lie := _lie(claim, waiting, look):
            code, text = claim.status.reason, claim.status.message
            yield f"{claim.meta.name} ({claim.spec.gpu_request}) waits for {code!r}, {text!r}: {lie}"


def _lie(claim: Claim, waiting: list[Claim], look: Look) -> str:
    """Why the reason of a claim that waits cannot be true; "" where it can."""
    status = claim.status
    project = look.projects[claim.meta.project]
    wants = _dearest(claim.spec.gpu_request.to_one_demand(), look)
    if not status.message:
        return "nothing is said"
    match status.reason:
        case Code.BACKING_OFF:
            return "" if status.retry_at and status.retry_at > datetime.now(UTC) else "the time is over"
        case Code.OVER_LIMIT:
            return "" if _queues_full(project, look, wants) else "its queues have room below their limits"
        case Code.NON_PREEMPTIBLE_OVER_QUOTA:
            over = project.status.non_preemptible + wants > project.spec.quota + SLACK
            return "" if over and not claim.spec.preemptible else "its project's quota covers it"
        case Code.BEHIND_OTHERS:
            return "" if len(waiting) > 1 else "nobody else waits"
        case Code.GPUS_FENCED:
            return "" if any(gpu.fenced for gpu in _gpus(look)) else "no GPU is fenced"
        case Code.NO_FREE_GPU | Code.BLOCKED_BY_OTHERS | Code.TOO_BIG | Code.WRONG_MIG_MODE | Code.NO_SUCH_PROFILE:
            return f"there is room on {free}" if (free := _free_node(claim, look)) else ""
        case Code.NO_MATCHING_NODE:
            shut = any(node.spec.cordoned or not node.status.ready for node in look.nodes)
            return "" if shut else "every node is open"
        case _:
            return "that is no reason to wait for at rest"


def _queues_full(project: Project, look: Look, wants: float) -> bool:
    limit = project.spec.limit
    return 0 <= limit < project.status.allocated + wants - SLACK


def _gpus(look: Look) -> list[Gpu]:
    return [gpu for node in look.nodes if node.status.report for gpu in node.status.report.gpus]


def _dearest(demand: OneDemand, look: Look) -> float:
    """GPUs that a request counts for at most, on the GPU where it takes the largest part."""
    return demand.devices * max((_part(gpu, demand, _models(look).get(gpu.model)) for gpu in _gpus(look)), default=0.0)


def _part(gpu: Gpu, demand: OneDemand, model: GpuModel | None) -> float:
    if gpu.mig and model is not None:
        fitting = [profile.slices / model.slices for profile in model.profiles if _answers(profile, model, demand)]
        return min(fitting, default=0.0)
    if isinstance(demand, WholeGpus):
        return 1.0
    if isinstance(demand, MigProfile):
        return 0.0
    return demand.portion if isinstance(demand, Fraction) else demand.mib / gpu.memory_mib


def _models(look: Look) -> dict[str, GpuModel]:
    return {m.id: m for node in look.nodes if node.status.report for m in node.status.report.models.values()}


def _free_node(claim: Claim, look: Look) -> str:
    """A node on which a single pod has a place that is free now; "" where there is none. Members of gangs: ""."""
    demand, models = claim.spec.gpu_request.to_one_demand(), _models(look)
    for node in look.nodes:
        if claim.spec.gang or node.status.report is None or not node.status.ready or node.spec.cordoned:
            continue
        ways = Counter(way for gpu in node.status.report.gpus for way in _ways(gpu, models.get(gpu.model), demand))
        if any(count >= demand.devices for count in ways.values()):
            return node.meta.name
    return ""


def _ways(gpu: Gpu, model: GpuModel | None, demand: OneDemand) -> set[str]:
    """The profiles of instances it has room for, "" for a part of it; several devices of a pod are of one way."""
    if gpu.fenced or gpu.held_by:
        return set()
    if gpu.mig:
        return set() if model is None else _instances(gpu, model, demand)
    return {""} if _has_room(gpu, demand) else set()


def _has_room(gpu: Gpu, demand: OneDemand) -> bool:
    taken = sum(part.memory_mib for part in gpu.parts) + gpu.foreign_mib
    if isinstance(demand, WholeGpus):
        return not taken and not gpu.parts
    if isinstance(demand, MigProfile):
        return False
    portion = demand.portion if isinstance(demand, Fraction) else demand.mib / gpu.memory_mib
    fits = sum(part.portion for part in gpu.parts) + portion <= 1 + SLACK
    return fits and taken + portion * gpu.memory_mib <= gpu.memory_mib + 1


def _instances(gpu: Gpu, model: GpuModel, demand: OneDemand) -> set[str]:
    there = [Placement(i.profile, i.start) for i in gpu.instances if i.state is not InstanceState.IDLE]
    return {
        profile.name
        for profile in model.profiles
        if _answers(profile, model, demand)
        and any(legal(model, [*there, Placement(profile.name, start)]) for start in profile.starts)
    }


def _answers(profile: Profile, model: GpuModel, demand: OneDemand) -> bool:
    """Whether an instance of a profile is what was asked for."""
    if isinstance(demand, MigProfile):
        return profile.name == demand.profile
    if profile.variant:
        return False
    if isinstance(demand, Memory):
        return profile.memory_mib is not None and profile.memory_mib >= demand.mib
    if isinstance(demand, Fraction):
        return profile.size >= demand.portion * model.units - SLACK
    return demand.devices == 1 and profile.slices == model.slices
