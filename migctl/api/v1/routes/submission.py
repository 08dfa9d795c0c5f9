"""Submitting workloads, and one workload by its type: see it, end it, stop it, start it again."""

from __future__ import annotations

from enum import StrEnum

from fastapi import APIRouter, Response

from migctl.api.v1.errors import ErrorBody, refusal
from migctl.api.v1.schemas.submissions import (
    Accepted,
    BatchAction,
    DistributedSubmission,
    InferenceChange,
    InferenceSubmission,
    Submission,
    TrainingSubmission,
    WorkloadRecord,
    WorkspaceSubmission,
)
from migctl.api.v1.schemas.support import without_effect
from migctl.api.v1.schemas.workload_specs import CommonSpec
from migctl.api.v1.service import CallersService, Door
from migctl.api.v1.workloads.found import workload_of
from migctl.api.v1.workloads.lifecycle import act, change_inference
from migctl.api.v1.workloads.record import record
from migctl.api.v1.workloads.submission import submit
from migctl.objects import WorkloadType

NOT_FOUND: dict[int | str, dict[str, object]] = {
    404: {"model": ErrorBody, "description": "There is none that the caller may see."}
}
CONFLICT: dict[int | str, dict[str, object]] = {
    409: {"model": ErrorBody, "description": "Its name is taken, or its phase does not allow it."}
}
MOST_WARNINGS = 20

routes = APIRouter(tags=["workloads"], responses={**NOT_FOUND, **CONFLICT})


class TypePlural(StrEnum):
    """A type of workload, as paths name it."""

    TRAININGS = "trainings"
    WORKSPACES = "workspaces"
    INFERENCES = "inferences"
    DISTRIBUTED = "distributed"

    @property
    def type(self) -> WorkloadType:
        """The type."""
        return WorkloadType(self.removesuffix("s"))


@routes.post("/workloads/trainings", status_code=202, response_model_exclude_none=True)
async def create_training(door: Door, sent: TrainingSubmission, response: Response) -> WorkloadRecord:
    """Submit a training. The same that arrives again within five minutes is the same training."""
    return await _submitted(door, WorkloadType.TRAINING, sent, sent.spec, response)


@routes.post("/workloads/workspaces", status_code=202, response_model_exclude_none=True)
async def create_workspace(door: Door, sent: WorkspaceSubmission, response: Response) -> WorkloadRecord:
    """Submit a workspace. The same that arrives again within five minutes is the same workspace."""
    return await _submitted(door, WorkloadType.WORKSPACE, sent, sent.spec, response)


@routes.post("/workloads/inferences", status_code=202, response_model_exclude_none=True)
async def create_inference(door: Door, sent: InferenceSubmission, response: Response) -> WorkloadRecord:
    """Submit an inference. The same that arrives again within five minutes is the same inference."""
    return await _submitted(door, WorkloadType.INFERENCE, sent, sent.spec, response)


@routes.post("/workloads/distributed", status_code=202, response_model_exclude_none=True)
async def create_distributed(door: Door, sent: DistributedSubmission, response: Response) -> WorkloadRecord:
    """Submit a distributed training. The same that arrives again within five minutes is the same training."""
    if sent.master_spec_same_as_worker is False:
        raise refusal("masterSpecSameAsWorker", "the master is as its workers are", "leave it out, or true")
    return await _submitted(door, WorkloadType.DISTRIBUTED, sent, sent.spec, response)


@routes.patch("/workloads/inferences/{workload_id}", status_code=202, response_model_exclude_none=True)
async def update_inference(door: Door, workload_id: str, sent: InferenceChange) -> WorkloadRecord:
    """Change the number of replicas."""
    workload = await workload_of(door, workload_id, WorkloadType.INFERENCE)
    return record(door, await change_inference(door, workload, sent))


@routes.get("/workloads/{plural}/{workload_id}", response_model_exclude_none=True)
async def get_of_type(door: Door, plural: TypePlural, workload_id: str) -> WorkloadRecord:
    """A workload, as it was submitted and is to be."""
    return record(door, await workload_of(door, workload_id, plural.type))


@routes.delete("/workloads/{plural}/{workload_id}", status_code=202)
async def delete_of_type(door: Door, plural: TypePlural, workload_id: str) -> Accepted:
    """End a workload; its GPUs are free as soon as its processes have ended."""
    return await _acted(door, plural, workload_id, BatchAction.DELETE)


@routes.post("/workloads/{plural}/{workload_id}/suspend", status_code=202)
async def suspend_of_type(door: Door, plural: TypePlural, workload_id: str) -> Accepted:
    """Stop a workload and free its GPUs."""
    return await _acted(door, plural, workload_id, BatchAction.SUSPEND)


@routes.post("/workloads/{plural}/{workload_id}/resume", status_code=202)
async def resume_of_type(door: Door, plural: TypePlural, workload_id: str) -> Accepted:
    """Start a suspended workload again."""
    return await _acted(door, plural, workload_id, BatchAction.RESUME)


async def _submitted(
    door: CallersService, kind: WorkloadType, sent: Submission, spec: CommonSpec | None, response: Response
) -> WorkloadRecord:
    if spec is None:
        raise refusal("spec", "says what is to run, and is missing", "image and compute at least")
    made = await submit(door, kind, sent, spec)
    for text in list(without_effect(spec))[:MOST_WARNINGS]:
        response.headers.append("Warning", f'299 migctl "{text}"')
    return record(door, made)


async def _acted(door: CallersService, plural: TypePlural, uid: str, action: BatchAction) -> Accepted:
    workload = await workload_of(door, uid, plural.type)
    await act(door, workload, action)
    return Accepted(message=f"{action} of {workload.spec.type} {workload.meta.name} is under way")
