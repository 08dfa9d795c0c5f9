"""What a decision says: steps in order, an outcome for every request, a certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from solver.model.demand import Grant
from solver.model.reasons import Unplaced


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
