"""Plans and events: what was decided, and what happened."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from migctl.api.v1.schemas.schema import Schema
from migctl.api.v1.schemas.workload_specs import Text

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
