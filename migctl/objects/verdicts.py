"""The verdict on a workload before it is sent: what would become of it now."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from migctl.objects.plans import PlanShare, PlanStep
from migctl.objects.record import Meta, Record


class Prospect(StrEnum):
    """What would become of a workload's first pods now.

    starts      each of them starts
    makes-room  each of them has its place, some once others have been stopped or moved for it
    partly      some start, others wait
    waits       all of them wait
    """

    STARTS = "starts"
    MAKES_ROOM = "makes-room"
    PARTLY = "partly"
    WAITS = "waits"

    @property
    def placed(self) -> bool:
        """Whether every pod would be given its place now."""
        return self in (Prospect.STARTS, Prospect.MAKES_ROOM)


class VerdictShare(PlanShare, frozen=True):
    """What a pod would have of one GPU, "node/index" by name; its `memory_mib` is what it could use."""

    name: str = ""


class VerdictPlace(Record, frozen=True):
    """Where a pod would start.

    pod        its number in the workload
    rounded    what it is given beyond its request, "" where exact
    waits_for  names of those who must have gone first
    """

    pod: int
    node: str
    devices: tuple[VerdictShare, ...]
    rounded: str = ""
    waits_for: tuple[str, ...] = ()


class VerdictEviction(Record, frozen=True):
    """A pod of somebody's that would be stopped, and where it would start again at once ("": it would wait).

    claim, workload, project  "" where the reader may not see its project
    own                       whether it is of the workload's project
    """

    name: str
    claim: str
    workload: str
    project: str
    own: bool
    why: str
    moves_to: str = ""


class VerdictReason(Record, frozen=True):
    """Why pods would wait: a stable code, the sentence that `why` would say, and the facts as `why -o json` has them.

    kind  of the facts; pods: how many it keeps
    """

    code: str
    text: str
    pods: int
    kind: str
    facts: Any = None
    gang: Any = None
    cordoned: tuple[str, ...] = ()


class VerdictBlocker(Record, frozen=True):
    """A pod whose end would help to free the nearest place.

    claim, workload, project, user  "" where the reader may not see its project, and for what is placed by this decision
    own                             whether it is of the workload's project
    holds                           what it holds, in words
    """

    name: str
    claim: str
    workload: str
    project: str
    user: str
    own: bool
    preemptible: bool
    holds: str


class VerdictQueue(Record, frozen=True):
    """The figures of a queue that matter, in GPUs. kind: project or department; quota and limit -1: unlimited.

    pool  the node pool they are about, "" where there is only one
    """

    kind: str
    name: str
    pool: str
    allocated: float
    non_preemptible: float
    quota: float
    limit: float
    fair_share: float


class WorkloadVerdict(Record, frozen=True, tag_field="kind", tag="WorkloadVerdict"):
    """What the planner would do with a workload if it were sent now, beside all that waits now; nothing was created.

    meta        name and project of the workload; `created` is the moment that the verdict is of
    pods        those that come first: its parallelism. starting: of them so many start now, making_room: so many have
                their place once others have gone, waiting: so many get none. The three add up to `pods`
    places      of pods that have one, in the order of their numbers, at most MOST_PLACES
    evictions   whom it would stop or move
    steps       what would be done for it, in order, with `after` about positions in this list, at most MOST_STEPS
    reasons     why pods would wait
    blockers    whose end would free the nearest place
    queues      the figures behind the reasons
    in_queue    pods of others that wait as well and were decided on together with it
    note        what a reader should know of the decision, for instance that the exact solver had no answer in time
    """

    MOST_PLACES: ClassVar[int] = 100
    MOST_STEPS: ClassVar[int] = 1000

    meta: Meta
    prospect: Prospect
    pods: int
    starting: int
    making_room: int
    waiting: int
    places: tuple[VerdictPlace, ...] = ()
    evictions: tuple[VerdictEviction, ...] = ()
    steps: tuple[PlanStep, ...] = ()
    reasons: tuple[VerdictReason, ...] = ()
    blockers: tuple[VerdictBlocker, ...] = ()
    queues: tuple[VerdictQueue, ...] = ()
    in_queue: int = 0
    note: str = ""
