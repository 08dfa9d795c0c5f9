"""Plans and events: what was decided, would be and is wanted, and what happened."""

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

NEXT = Field(default=None, description="The offset of the next page; null: this is the last one.")


class StepOut(Schema):
    """A step of a plan. after: positions of the steps that come before it."""

    action: str = Field(description="evict, destroy, create or assign.")
    text: str
    gpu: str
    profile: str
    start: int | None
    after: list[int]
    state: str
    reason: str


class PlanOutcomeOut(Schema):
    """What a plan means for one pod that waits."""

    name: str
    placed: bool
    code: str
    text: str


class PlanOut(Schema):
    """A decision as it was carried out, or a proposal."""

    id: str
    name: str
    phase: str
    message: str
    proposed: bool
    created_at: datetime | None
    method: str
    note: str
    gap: float
    milliseconds: float
    steps: list[StepOut]
    outcomes: list[PlanOutcomeOut]
    steps_left_out: int
    outcomes_left_out: int


class PlanPage(Schema):
    """Plans, the newest first, a page at a time."""

    plans: list[PlanOut]
    next: int | None = NEXT


class HappeningOut(Schema):
    """Something that happened. type: Normal or Warning."""

    id: str
    about: str = Field(description="Kind/name.")
    about_id: str
    project: str
    type: str
    reason: str
    message: str
    count: int
    created_at: datetime | None
    last_at: datetime | None


class HappeningPage(Schema):
    """Events, the newest first, a page at a time."""

    events: list[HappeningOut]
    next: int | None = NEXT


class Moved(Schema):
    """A workload with its places."""

    workload: str
    now: str
    then: str


class Fits(Schema):
    """How many of a share fit."""

    share: str
    now: int
    then: int


class LayoutOut(Schema):
    """What is on a GPU."""

    gpu: str
    now: list[str]
    then: list[str]


class DefragAsked(Schema):
    """Which moves are wanted."""

    moves: int = Field(default=8, ge=1, le=500, description="At most so many workloads move.")
    target: Text | None = Field(default=None, description="Open places for this.", examples=["3g.20gb", "20GB", "1"])
    save: bool = Field(default=False, description="Keep the moves as a proposal.")


class DefragOut(Schema):
    """Moves that would join free room. plan: the name of the proposal that they were kept as."""

    plan: str | None = None
    moves: list[Moved]
    fits: list[Fits]
    layouts: list[LayoutOut]


class StayOut(Schema):
    """A workload that stays where it is, and why."""

    name: str
    why: str


class UndoOut(Schema):
    """What is put back. plan: the name of the plan that does it, null where all is where it was."""

    plan: str | None
    stays: list[StayOut]


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
