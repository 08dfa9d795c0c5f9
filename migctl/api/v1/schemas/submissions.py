"""Submissions, and what is answered to them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from migctl.api.v1.schemas.schema import Schema
from migctl.api.v1.schemas.support import NotHere, SentBody
from migctl.api.v1.schemas.workload_specs import (
    AnyWorkloadSpec,
    CommonSpec,
    DistributedSpec,
    InferenceSpec,
    Text,
    TrainingSpec,
    WorkspaceSpec,
)


class PhaseOut(StrEnum):
    """A phase, in the words that clients know: Stopped is suspended; what is preempted is Pending, with its reason."""

    PENDING = "Pending"
    INITIALIZING = "Initializing"
    RUNNING = "Running"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    COMPLETED = "Completed"
    FAILED = "Failed"
    DELETING = "Deleting"
    UNKNOWN = "Unknown"


class DesiredPhase(StrEnum):
    RUNNING = "Running"
    STOPPED = "Stopped"
    DELETED = "Deleted"


class Submission(SentBody):
    """A workload to be."""

    name: Text = Field(description="Lower-case letters, digits and '-', at most 63.")
    use_given_name_as_prefix: bool | None = Field(default=None, description="The name gets an ending of its own.")
    project_id: Text = Field(description="A project's id, or its name.")
    cluster_id: Text | None = Field(default=None, description="The id of this cluster, or its name.")
    template_id: Annotated[None, NotHere("there are no templates here")] = None
    spec: CommonSpec | None = None


class TrainingSubmission(Submission):
    """A training to be."""

    spec: TrainingSpec | None = None


class WorkspaceSubmission(Submission):
    """A workspace to be."""

    spec: WorkspaceSpec | None = None


class InferenceSubmission(Submission):
    """An inference to be."""

    spec: InferenceSpec | None = None


class DistributedSubmission(Submission):
    """A distributed training to be."""

    spec: DistributedSpec | None = None
    master_spec_same_as_worker: bool | None = None
    master_spec: Annotated[None, NotHere("the master is as its workers are: masterSpecSameAsWorker")] = None


class InferenceChange(SentBody):
    """A change of an inference."""

    spec: InferenceSpec | None = None


class WorkloadRecord(Schema):
    """A workload, as it was submitted and is to be."""

    workload_id: str
    name: str
    requested_name: str
    project_id: str
    department_id: str | None = None
    cluster_id: str
    created_by: str
    created_at: datetime
    deleted_at: datetime | None = None
    desired_phase: DesiredPhase
    actual_phase: PhaseOut
    spec: AnyWorkloadSpec


class Accepted(Schema):
    """That something is under way."""

    code: int = 202
    message: str


class BatchAction(StrEnum):
    DELETE = "delete"
    SUSPEND = "suspend"
    RESUME = "resume"


class WorkloadBatch(SentBody):
    """The same for many workloads."""

    ids: list[Text] = Field(min_length=1, max_length=500)
    action: BatchAction


class BatchFailure(Schema):
    """Why it was not done for one of them; code as the status of a single call would be."""

    id: str
    code: int
    message: str


class BatchOutcome(Schema):
    """What became of each."""

    id: str
    succeeded: list[str]
    failed: list[BatchFailure]
