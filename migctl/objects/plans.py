"""The objects of plans: decisions as they were carried out, and proposals that wait for somebody to apply them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar

from migctl.objects.record import Meta, Record
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant

PROPOSED, APPLIED, PARTLY_APPLIED, REJECTED = "Proposed", "Applied", "PartlyApplied", "Rejected"
APPLY_LABEL = "migctl.dev/apply"
"""Of a proposal: that somebody who may change plans wants it carried out."""
REQUESTED = "requested"


class StepState(StrEnum):
    PROPOSED = "Proposed"
    ACCEPTED = "Accepted"
    REJECTED = "Rejected"
    DONE = "Done"


class PlanStep(Record, frozen=True):
    """One step, as applied. `after`: positions of the steps that come before it.

    action  evict, destroy, create or assign; text: the step as a sentence
    reason  why it was rejected
    """

    action: str
    text: str
    claim: str = ""
    gpu: str = ""
    profile: str = ""
    start: int | None = None
    after: tuple[int, ...] = ()
    state: StepState = StepState.PROPOSED
    reason: str = ""


class PlanOutcome(Record, frozen=True):
    """What a plan means for one pending claim.

    code      of the reason, "" for a claim that is placed
    blockers  uids of the claims whose end would free the nearest candidate
    """

    claim: str
    name: str
    placed: bool
    text: str
    code: str = ""
    blockers: tuple[str, ...] = ()


class PlanOmissions(Record, frozen=True):
    """How many steps, placed and waiting claims a plan has beyond those it lists."""

    steps: int = 0
    evictions: int = 0
    placed: int = 0
    waiting: int = 0


class PlanShare(Record, frozen=True):
    """A part of one GPU, as the solver's DeviceShare says it."""

    gpu: str
    backing: Backing
    portion: float
    memory_mib: int
    profile: str | None = None
    start: int | None = None
    size: int = 0


class PlanPlace(Record, frozen=True):
    """Shares of GPUs of one node."""

    node: str
    devices: tuple[PlanShare, ...]

    @classmethod
    def of(cls, grant: Grant) -> PlanPlace:
        """The place that a grant gives."""
        return cls(
            node=grant.node,
            devices=tuple(
                PlanShare(
                    gpu=share.gpu,
                    backing=share.backing,
                    portion=share.portion,
                    memory_mib=share.memory_mib,
                    profile=share.profile,
                    start=share.start,
                    size=share.size,
                )
                for share in grant.devices
            ),
        )

    def grant(self) -> Grant:
        """The grant that gives the place."""
        shares = (
            DeviceShare(s.gpu, s.backing, s.portion, s.memory_mib, s.profile, s.start, s.size) for s in self.devices
        )
        return Grant(self.node, tuple(shares))


class PlanMove(Record, frozen=True):
    """Where a plan found a pod of a workload, and where it puts it; None: it had, or has then, no place.

    claim  uid that the pod's claim had; index: of the pod in its workload, the same for the pod that follows it
    name   project and workload, for people
    """

    claim: str
    workload_uid: str
    index: int
    name: str
    before: PlanPlace | None = None
    after: PlanPlace | None = None


class PlanSpec(Record, frozen=True):
    """A decision: its steps, outcomes and certificate (bound and gap as fractions).

    moves     what changes of place, for `plan diff` and `plan undo`
    proposed  saved, and carried out only when somebody applies it
    left_out  what a very large plan does not list, so that its object stays small
    """

    steps: tuple[PlanStep, ...] = ()
    outcomes: tuple[PlanOutcome, ...] = ()
    method: str = ""
    value: float = 0.0
    bound: float = 0.0
    gap: float = 0.0
    operations: int = 0
    operations_bound: int = 0
    note: str = ""
    milliseconds: float = 0.0
    left_out: PlanOmissions = PlanOmissions()
    moves: tuple[PlanMove, ...] = ()
    proposed: bool = False


class PlanStatus(Record, frozen=True):
    """How far a plan was carried out: Proposed, Waiting (for evictions), Applied, PartlyApplied or Rejected."""

    phase: str = ""
    message: str = ""


class PlacementPlan(Record, frozen=True, tag_field="kind", tag="PlacementPlan"):
    """A plan as it was applied, or as it may be."""

    PLURAL: ClassVar[str] = "plans"
    meta: Meta
    spec: PlanSpec = PlanSpec()
    status: PlanStatus = PlanStatus()

    @property
    def phase(self) -> str:
        """How far it was carried out; of a record its steps say it."""
        if self.status.phase or self.spec.proposed:
            return self.status.phase or PROPOSED
        counts = Counter(step.state for step in self.spec.steps)
        if counts[StepState.PROPOSED]:
            return "Waiting"
        if not counts[StepState.REJECTED]:
            return APPLIED
        return PARTLY_APPLIED if counts[StepState.ACCEPTED] + counts[StepState.DONE] else REJECTED


def newest_first(plans: Iterable[PlacementPlan]) -> list[PlacementPlan]:
    """Plans in the order in which they are listed."""
    return sorted(plans, key=_made, reverse=True)


def _made(plan: PlacementPlan) -> tuple[float, str]:
    return plan.meta.created.timestamp() if plan.meta.created else 0.0, plan.meta.name
