"""The verdict before sending, and why a workload waits: what is asked, and what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from migctl.api.v1.schemas.schema import Schema
from migctl.api.v1.schemas.submissions import (
    DistributedSubmission,
    InferenceSubmission,
    TrainingSubmission,
    WorkspaceSubmission,
)
from migctl.api.v1.schemas.workload_specs import Text
from migctl.objects import Prospect

ANY_NAME = "One that is taken is refused; without one, any that is free."


class TrainingQuestion(TrainingSubmission):
    """What would become of a training?"""

    type: Literal["training", "Training"]
    name: Text = Field(default="", description=ANY_NAME)


class WorkspaceQuestion(WorkspaceSubmission):
    """What would become of a workspace?"""

    type: Literal["workspace", "Workspace"]
    name: Text = Field(default="", description=ANY_NAME)


class InferenceQuestion(InferenceSubmission):
    """What would become of an inference?"""

    type: Literal["inference", "Inference"]
    name: Text = Field(default="", description=ANY_NAME)


class DistributedQuestion(DistributedSubmission):
    """What would become of a distributed training?"""

    type: Literal["distributed", "Distributed"]
    name: Text = Field(default="", description=ANY_NAME)


Question = Annotated[
    TrainingQuestion | WorkspaceQuestion | InferenceQuestion | DistributedQuestion, Field(discriminator="type")
]
"""A submission, with its type."""


class ShareOut(Schema):
    """A part of one GPU; name is its node and number, gpu its UUID."""

    gpu: str
    name: str = ""
    backing: str
    portion: float
    memory_mib: int
    profile: str | None = None
    start: int | None = None
    size: int = 0


class PlaceOut(Schema):
    """Where a pod would start, and whom it waits for before."""

    pod: int
    node: str
    devices: list[ShareOut]
    rounded: str = ""
    waits_for: tuple[str, ...] = ()


class EvictionOut(Schema):
    """A pod that would be stopped, and where it would start again at once; one that may not be seen has no names."""

    name: str
    claim: str
    workload: str
    project: str
    own: bool
    why: str
    moves_to: str = ""


class VerdictStepOut(Schema):
    """A step of a plan; after: numbers of the steps that come before it."""

    action: str
    text: str
    claim: str = ""
    gpu: str = ""
    profile: str = ""
    start: int | None = None
    after: tuple[int, ...] = ()
    state: str = "Proposed"
    reason: str = ""


class ReasonOut(Schema):
    """Why pods wait: a stable code, a sentence, and the facts of this kind as data."""

    code: str
    text: str
    pods: int
    kind: str
    facts: Any = None
    gang: Any = None
    cordoned: tuple[str, ...] = ()


class BlockerOut(Schema):
    """A pod whose end would help to free the nearest place; one that may not be seen has no names."""

    name: str
    claim: str
    workload: str
    project: str
    user: str
    own: bool
    preemptible: bool
    holds: str


class QueueFiguresOut(Schema):
    """Figures of a project or department, in GPUs; -1: unlimited."""

    kind: str
    name: str
    pool: str
    allocated: float
    non_preemptible: float
    quota: float
    limit: float
    fair_share: float


class VerdictOut(Schema):
    """What the planner would do with a workload if it were sent now. Nothing was created."""

    name: str
    project_name: str
    created_at: datetime = Field(description="The moment that it is of.")
    prospect: Prospect
    pods: int = Field(description="Those that come first: starting + makingRoom + waiting.")
    starting: int
    making_room: int
    waiting: int
    places: tuple[PlaceOut, ...] = ()
    evictions: tuple[EvictionOut, ...] = ()
    steps: tuple[VerdictStepOut, ...] = ()
    reasons: tuple[ReasonOut, ...] = ()
    blockers: tuple[BlockerOut, ...] = ()
    queues: tuple[QueueFiguresOut, ...] = ()
    in_queue: int = Field(default=0, description="Pods of others that wait as well.")
    note: str = ""


class WaitFacts(Schema):
    """Why one pod has no place, as data: a stable code and the facts of this kind; uids that may not be seen are ""."""

    claim: str
    code: str
    kind: str
    facts: Any = None
    gang: Any = None
    figures: Any = None
    blockers: Any = None
    cordoned: tuple[str, ...] = ()


class InTheWay(Schema):
    """A pod whose end would free the nearest place."""

    workload: str
    project: str
    claim: str


class WhyOut(Schema):
    """Why a workload is in its phase, decided on the state of now."""

    workload: str
    project: str
    phase: str
    reasons: tuple[str, ...] = Field(description="Sentences, each once.")
    facts: tuple[WaitFacts, ...]
    plan: str | None = Field(description="The newest plan that has an outcome for it.")
    blockers: tuple[InTheWay, ...] = Field(description="Those that the caller may see.")
    hidden_blockers: int = Field(description="How many more are in the way of one of its pods.")
