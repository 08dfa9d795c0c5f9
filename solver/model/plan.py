"""What a decision says: steps in order, an outcome for every request, a certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from solver.model.demand import Grant


@dataclass(frozen=True, slots=True)
class Evict:
    """Stop a claim so that `beneficiary` can have its room. `why` carries the numbers for people.

    beneficiary: "" where an administrator has it moved for no claim in particular
    """

    claim: str
    beneficiary: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Destroy:
    """Destroy the idle instance of `profile` at `start`."""

    gpu: str
    profile: str
    start: int


@dataclass(frozen=True, slots=True)
class Create:
    """Create an instance of `profile` at `start`."""

    gpu: str
    profile: str
    start: int


@dataclass(frozen=True, slots=True)
class Assign:
    """Give a claim its grant. An evicted claim that is moved has an Assign too."""

    claim: str
    grant: Grant


Step = Evict | Destroy | Create | Assign


class Code(StrEnum):
    """Why a request has no place."""

    NO_SUCH_PROFILE = "no-such-profile"
    NO_SUCH_POOL = "no-such-pool"
    NO_MATCHING_NODE = "no-matching-node"
    TOO_BIG = "too-big"
    NO_FREE_GPU = "no-free-gpu"
    NO_LEGAL_START = "no-legal-start"
    OVER_LIMIT = "over-limit"
    OVER_QUOTA = "over-quota"
    NON_PREEMPTIBLE_OVER_QUOTA = "non-preemptible-over-quota"
    GANG_DOES_NOT_FIT = "gang-does-not-fit"
    BEHIND_OTHERS = "behind-others"
    BACKING_OFF = "backing-off"
    UNKNOWN_PROJECT = "unknown-project"


@dataclass(frozen=True, slots=True)
class Blockers:
    """The smallest set whose going would free a legal start on one GPU.

    claims     uids whose shares block it
    instances  foreign or quarantined instances in the way, as "profile@start"
    """

    gpu: str
    profile: str | None
    start: int | None
    claims: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unplaced:
    """No place now: a code to act on, a sentence for people, the cheapest way out where there is one."""

    code: Code
    message: str
    blockers: Blockers | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A place. `waits_for`: claims whose eviction must be over first.

    rounded: what was given beyond the request ("5G -> 1g.5gb, 4864 MiB"), "" where exact.
    """

    grant: Grant
    waits_for: tuple[str, ...] = ()
    rounded: str = ""


Outcome = Placed | Unplaced


class Method(StrEnum):
    """How a plan was found."""

    ONLINE = "online"
    OPTIMAL = "optimal"
    BOUNDED = "bounded"
    GREEDY = "greedy"


@dataclass(frozen=True, slots=True)
class Certificate:
    """How good a plan is, against what no plan can exceed.

    value and bound are admitted weight (SMs and MiB, normalised to GPUs); operations counts
    creates and destroys, operations_bound is the fewest any plan of this weight needs.
    note: what a reader should know, a time-out for example.
    """

    method: Method
    value: float
    bound: float
    operations: int = 0
    operations_bound: int = 0
    note: str = ""

    @property
    def gap(self) -> float:
        """Distance to the bound, as a fraction of it."""
        return 0.0 if self.bound <= 0 else max(0.0, 1.0 - self.value / self.bound)

    @property
    def operations_gap(self) -> float:
        """Operations beyond the fewest possible, as a fraction of those."""
        return max(0, self.operations - self.operations_bound) / max(1, self.operations_bound)


@dataclass(frozen=True)
class Plan:
    """Steps whose order respects every dependency, and what becomes of each pending request.

    after[i] holds the positions of the steps that must be done before step i.
    """

    steps: Sequence[Step] = ()
    after: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    outcomes: Mapping[str, Outcome] = field(default_factory=lambda: MappingProxyType({}))
    certificate: Certificate = Certificate(Method.ONLINE, 0.0, 0.0)
