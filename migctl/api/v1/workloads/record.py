"""From a workload to its record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from migctl.api.v1.schemas.submissions import DesiredPhase, PhaseOut, WorkloadRecord
from migctl.api.v1.schemas.workload_specs import (
    AnyWorkloadSpec,
    Autoscaling,
    Compute,
    GpuRequestType,
    NamedValue,
    Preemptibility,
    SubmittedVariable,
)
from migctl.api.v1.service import CallersService
from migctl.api.v1.workloads.spec_in import OWN_LABELS
from migctl.objects import Department, GpuRequest, Phase, Project, Workload, WorkloadType

REQUESTED_NAME = f"{OWN_LABELS}requested-name"
"""Label of a workload whose name was given as a prefix: the prefix."""

PHASES: Mapping[Phase, PhaseOut] = MappingProxyType(
    {
        Phase.PENDING: PhaseOut.PENDING,
        Phase.INITIALIZING: PhaseOut.INITIALIZING,
        Phase.RUNNING: PhaseOut.RUNNING,
        Phase.SUSPENDED: PhaseOut.STOPPED,
        Phase.COMPLETED: PhaseOut.COMPLETED,
        Phase.FAILED: PhaseOut.FAILED,
        Phase.PREEMPTED: PhaseOut.PENDING,
        Phase.TERMINATING: PhaseOut.STOPPING,
        Phase.UNKNOWN: PhaseOut.UNKNOWN,
    }
)
"""Of what is not being deleted."""


def phase_out(workload: Workload) -> PhaseOut:
    """The phase in the words that clients know."""
    return PhaseOut.DELETING if workload.meta.deleting else PHASES[workload.status.phase]


def created_at(workload: Workload) -> datetime:
    """When it was submitted."""
    return workload.meta.created or datetime.fromtimestamp(0, UTC)


def record(door: CallersService, workload: Workload) -> WorkloadRecord:
    """The workload as it was submitted and is to be."""
    project = door.seen.get(Project, workload.meta.project)
    department = project.spec.department if project is not None else None
    unit = door.seen.get(Department, department) if department else None
    return WorkloadRecord(
        workload_id=workload.meta.uid,
        name=workload.meta.name,
        requested_name=workload.meta.labels.get(REQUESTED_NAME, workload.meta.name),
        project_id=project.meta.uid if project is not None else workload.meta.project,
        department_id=unit.meta.uid if unit is not None else None,
        cluster_id=door.service.cluster.uid,
        created_by=workload.spec.user,
        created_at=created_at(workload),
        deleted_at=workload.meta.deleting,
        desired_phase=_desired(workload),
        actual_phase=phase_out(workload),
        spec=spec_out(workload),
    )


def spec_out(workload: Workload) -> AnyWorkloadSpec:
    """The spec in the names that clients know."""
    spec, kind = workload.spec, workload.spec.type
    words = shlex.join(spec.command) or None
    shown = {name: value for name, value in workload.meta.labels.items() if not name.startswith(OWN_LABELS)}
    ending = kind in (WorkloadType.TRAINING, WorkloadType.DISTRIBUTED)
    return AnyWorkloadSpec(
        image=spec.image or None,
        command=words if spec.entrypoint else None,
        args=None if spec.entrypoint else words,
        environment_variables=[SubmittedVariable(name=k, value=v) for k, v in spec.environment.items()] or None,
        working_dir=spec.directory or None,
        labels=[NamedValue(name=k, value=v) for k, v in shown.items()] or None,
        compute=compute_out(spec.gpu_request),
        preemptibility=Preemptibility.PREEMPTIBLE if spec.preemptible else Preemptibility.NON_PREEMPTIBLE,
        node_pools=list(spec.pools) or None,
        node_type=spec.gpu_request.model,
        backoff_limit=spec.backoff_limit if ending else None,
        auto_deletion_time_after_completion_seconds=None
        if spec.ttl_after_finish_s is None
        else round(spec.ttl_after_finish_s),
        parallelism=spec.parallelism if kind is WorkloadType.TRAINING and spec.parallelism > 1 else None,
        completions=spec.completions,
        num_workers=spec.parallelism - 1 if kind is WorkloadType.DISTRIBUTED else None,
        distributed_framework="PyTorch" if kind is WorkloadType.DISTRIBUTED else None,
        autoscaling=Autoscaling(min_replicas=spec.parallelism, max_replicas=spec.parallelism)
        if kind is WorkloadType.INFERENCE
        else None,
    )


def compute_out(request: GpuRequest) -> Compute:
    """A GPU request in the names that clients know."""
    return Compute(
        gpu_devices_request=request.devices,
        gpu_request_type=request_type(request),
        gpu_portion_request=request.fraction if request.is_part else 1.0,
        gpu_memory_request=None if request.memory_mib is None else f"{request.memory_mib}Mi",
        mig_profile=request.profile,
    )


def request_type(request: GpuRequest) -> GpuRequestType:
    """Which kind of request it is; whole GPUs are portions of 1."""
    if request.memory_mib is not None:
        return GpuRequestType.MEMORY
    return GpuRequestType.PORTION if request.profile is None else GpuRequestType.MIG_PROFILE


def _desired(workload: Workload) -> DesiredPhase:
    if workload.meta.deleting:
        return DesiredPhase.DELETED
    return DesiredPhase.STOPPED if workload.spec.suspended else DesiredPhase.RUNNING
