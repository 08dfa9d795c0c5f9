"""From a workload's row to what lists and details say of it: pods, events, history, figures."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from migctl.access.visible import shown
from migctl.api.v1.schemas.submissions import PhaseOut
from migctl.api.v1.schemas.workload_specs import GpuRequestType
from migctl.api.v1.schemas.workloads import (
    ActionsSupport,
    AllocatedResources,
    Amount,
    ContainerOut,
    Cores,
    EventOut,
    HistoryMeta,
    HistoryRecord,
    HistorySpec,
    HistoryType,
    InvolvedObject,
    MeasurementOut,
    MetricType,
    PhaseUpdate,
    PodOut,
    RequestedPods,
    RequestedResources,
    Sample,
    WorkloadOut,
)
from migctl.api.v1.service import CallersService
from migctl.api.v1.workloads.record import request_type
from migctl.api.v1.workloads.rows import WorkloadRow
from migctl.api.v1.workloads.spec_in import PREEMPTIBLE_CLASS
from migctl.backends import workload_status
from migctl.backends.workload_status import allocated, holds
from migctl.objects import Claim, Event, GpuNode, GpuRequest, Phase, Workload, WorkloadSpec, WorkloadType
from nodeagent.contract.units import MIB

X = TypeVar("X")

CLASS_NAMES = {
    WorkloadType.TRAINING: "train",
    WorkloadType.DISTRIBUTED: "train",
    WorkloadType.WORKSPACE: "build",
    WorkloadType.INFERENCE: "inference",
}


def part(found: Sequence[X], offset: int, limit: int) -> tuple[list[X], int | None]:
    """A page, and the offset of the next one."""
    end = offset + limit
    return list(found[offset:end]), end if end < len(found) else None


def workload_out(door: CallersService, row: WorkloadRow) -> WorkloadOut:
    """The workload with what it holds and why it is in its phase."""
    workload = shown(row.workload, door.seen)
    spec, status = workload.spec, workload.status
    over = status.phase.finished or workload.meta.deleting is not None
    return WorkloadOut(
        id=workload.meta.uid,
        name=row.name,
        type=spec.type.capitalize(),
        priority=spec.priority,
        priority_class_name=_class_name(spec),
        preemptible=spec.preemptible,
        submitted_by=spec.user,
        cluster_id=door.service.cluster.uid,
        project_id=row.place.uid,
        project_name=row.project,
        department_id=row.place.department_uid,
        department_name=row.place.department,
        namespace=row.project,
        created_at=row.created,
        deleted_at=workload.meta.deleting,
        completed_at=status.finished,
        started_at=status.started,
        phase=row.phase,
        phase_message=door.told(_message(workload)),
        reason=status.reason,
        running_pods=status.running,
        requested_pods=RequestedPods(
            number=workload_status.index_count(workload), parallelism=spec.parallelism, completions=spec.completions
        ),
        workload_requested_resources=_requested(spec.gpu_request, spec.parallelism),
        pods_requested_resources=_requested(spec.gpu_request, 1),
        allocated_resources=_allocated(row.pods),
        requested_node_pools=list(spec.pools),
        current_node_pools=_pools(door, row.nodes),
        current_nodes=list(row.nodes),
        images=[spec.image] if spec.image else [],
        command=shlex.join(spec.command),
        environment_variables=dict(spec.environment),
        actions_support=ActionsSupport(delete=workload.meta.deleting is None, suspend=not over),
    )


def pod_out(door: CallersService, row: WorkloadRow, pod: Claim) -> PodOut:
    """A pod of a workload."""
    pod = shown(pod, door.seen)
    held = pod.status.allocation if holds(pod) else None
    spec = row.workload.spec
    return PodOut(
        id=pod.meta.uid,
        name=pod.meta.name,
        workload_id=row.workload.meta.uid,
        workload_name=row.name,
        project_id=row.place.uid,
        project_name=row.project,
        cluster_id=door.service.cluster.uid,
        node_name=held.node if held is not None else None,
        created_at=pod.meta.created or row.created,
        completed_at=pod.status.finished,
        containers=[ContainerOut(name=row.name, image=spec.image, started_at=pod.status.started)],
        priority_class_name=_class_name(spec),
        requested_node_pools=list(pod.spec.pools),
        current_node_pool=next(iter(_pools(door, (held.node,) if held is not None else ())), None),
        requested_resources=_requested(pod.spec.gpu_request, 1),
        allocated_resources=_allocated((pod,)),
        pod_phase="Terminating" if pod.meta.deleting else pod.status.phase,
        message=door.told(workload_status.reason_and_message(pod.status)),
        exit_code=pod.status.exit_code,
    )


async def events_of(door: CallersService, workload: Workload) -> list[Event]:
    """What happened to a workload, the oldest first."""
    about = f"Workload/{workload.meta.name}"
    listed = (await door.control.list(Event, workload.meta.project)).items
    return sorted(
        (one for one in listed if one.spec.uid == workload.meta.uid or (not one.spec.uid and one.spec.about == about)),
        key=_when,
    )


def event_out(door: CallersService, workload: Workload, event: Event) -> EventOut:
    """An event of a workload."""
    return EventOut(
        id=event.meta.uid,
        type="Warning" if event.spec.warning else "Normal",
        reason=event.spec.reason,
        message=door.told(event.spec.message),
        created_at=_when(event),
        cluster_id=door.service.cluster.uid,
        count=event.spec.count,
        involved_object=InvolvedObject(
            uid=workload.meta.uid,
            kind="Workload",
            name=workload.meta.name,
            namespace=workload.meta.project,
        ),
    )


def history_of(door: CallersService, row: WorkloadRow, events: Iterable[Event]) -> list[HistoryRecord]:
    """The phases whose beginning is known, and the events between them, the oldest first."""
    workload = shown(row.workload, door.seen)
    status = workload.status
    phases: list[tuple[datetime | None, PhaseOut, str]] = [
        (row.created, PhaseOut.PENDING, "it was submitted"),
        (status.started, PhaseOut.RUNNING, "its first pod started"),
        (workload.meta.deleting, PhaseOut.DELETING, "its deletion was requested"),
    ]
    if status.phase.finished:
        ended = PhaseOut.COMPLETED if status.phase is Phase.COMPLETED else PhaseOut.FAILED
        phases.append((status.finished, ended, door.told(_message(workload))))
    found = [
        HistoryRecord(
            meta=HistoryMeta(creation_timestamp=when, type=HistoryType.PHASE_UPDATE),
            spec=HistorySpec(phase_update=PhaseUpdate(phase=phase, phase_message=text)),
        )
        for when, phase, text in phases
        if when is not None
    ]
    found += [
        HistoryRecord(
            meta=HistoryMeta(creation_timestamp=_when(event), type=HistoryType.EVENT),
            spec=HistorySpec(event=event_out(door, workload, event)),
        )
        for event in events
    ]
    return sorted(found, key=lambda one: one.meta.creation_timestamp)


def measured(row: WorkloadRow, kinds: Iterable[str], now: datetime | None) -> list[MeasurementOut]:
    """The figures of the present. now: None where the present is not asked for."""
    figures = {
        MetricType.GPU_ALLOCATION: f"{row.gpus:g}",
        MetricType.GPU_MEMORY_REQUEST_BYTES: str(_memory(row.pods) * MIB),
        MetricType.POD_COUNT: str(sum(not pod.status.phase.finished for pod in row.pods)),
        MetricType.RUNNING_POD_COUNT: str(row.workload.status.running),
    }
    return [
        MeasurementOut(
            type=kind,
            values=[Sample(value=figures[MetricType(kind)], timestamp=now)] if kind in figures and now else [],
        )
        for kind in kinds
    ]


def _when(event: Event) -> datetime:
    when = event.spec.last or event.meta.created
    assert when is not None, "a stored event has its time"
    return when


def _message(workload: Workload) -> str:
    """Why it is in its phase; of what was preempted with that word, which is no phase to clients."""
    return workload_status.reason_and_message(workload.status)


def _class_name(spec: WorkloadSpec) -> str:
    if spec.type is WorkloadType.WORKSPACE and spec.preemptible:
        return PREEMPTIBLE_CLASS
    return CLASS_NAMES[spec.type]


def _requested(request: GpuRequest, pods: int) -> RequestedResources:
    kind, count = request_type(request), request.devices * pods
    return RequestedResources(
        gpu_request_type=kind,
        gpu=Cores(request=round((1.0 if request.fraction is None else request.fraction) * count, 3))
        if kind is GpuRequestType.PORTION
        else None,
        gpu_memory=None if request.memory_mib is None else Amount(request=f"{request.memory_mib * count}Mi"),
        mig_profile=request.profile,
    )


def _allocated(pods: Iterable[Claim]) -> AllocatedResources:
    held = tuple(pods)
    return AllocatedResources(gpu=round(sum(map(allocated, held)), 3), gpu_memory=f"{_memory(held)}Mi")


def _memory(pods: Iterable[Claim]) -> int:
    """What pods hold of GPUs' memory, in MiB."""
    grants = (pod.status.allocation for pod in pods if holds(pod))
    return sum(share.memory_mib for grant in grants if grant is not None for share in grant.devices)


def _pools(door: CallersService, nodes: Iterable[str]) -> list[str]:
    found = (door.service.view.get(GpuNode, name) for name in nodes)
    return sorted({node.spec.pool for node in found if node is not None})
