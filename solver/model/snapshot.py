"""All that a decision may look at, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from solver.model.cluster import Gpu, Node
from solver.model.demand import Holding, Request
from solver.model.geometry import GpuModel

UNLIMITED = -1.0


@dataclass(frozen=True, slots=True)
class Quota:
    """What a queue may use of one node pool, in GPUs. -1: unlimited.

    quota     its own: never reclaimed from it
    limit     never above it
    weight    its part of what others leave unused (0: none)
    priority  higher takes the surplus first
    """

    quota: float = 0.0
    limit: float = UNLIMITED
    weight: float = 1.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ProjectQueue:
    """A queue of workloads. `quotas` is per node pool; `default` serves the pools it leaves out."""

    name: str
    default: Quota = Quota()
    quotas: Mapping[str, Quota] = field(default_factory=lambda: MappingProxyType({}))
    department: str | None = None
    created: float = 0.0
    min_runtime_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DepartmentQueue:
    """A queue of projects, with quotas like theirs.

    In a pool where it has none (`default` None), its projects are divided as if they had no department.
    """

    name: str
    default: Quota | None = None
    quotas: Mapping[str, Quota] = field(default_factory=lambda: MappingProxyType({}))
    created: float = 0.0


class Spreading(StrEnum):
    BINPACK = "binpack"
    SPREAD = "spread"


class MemoryRule(StrEnum):
    """Which profile serves a request for memory or a fraction when two of the same memory fit.

    proportional   compute in proportion to the memory (2g.10gb before 1g.10gb)
    least-compute  as little compute as possible
    """

    PROPORTIONAL = "proportional"
    LEAST_COMPUTE = "least-compute"


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of a decision. Times in seconds.

    evictions    at most this many evictions in one plan
    patience_s   a job that has waited so long has room reserved for it, which smaller ones behind it may not take
    tries        arrangements looked at before moving work for one request is given up
    memory_rules per node pool; in a pool left out instances have compute in proportion to their memory
    spreading    per node pool; a pool left out is packed (binpack)
    wall_clock_s hard limit of one exact solve; past it the greedy plan stands
    improve_s    how long an exact solve looks for something better than it has
    """

    evictions: int = 64
    reserve_after_s: float = 600.0
    tries: int = 200
    memory_rules: Mapping[str, MemoryRule] = field(default_factory=lambda: MappingProxyType({}))
    spreading: Mapping[str, Spreading] = field(default_factory=lambda: MappingProxyType({}))
    wall_clock_s: float = 2.0
    improve_s: float = 0.25

    def memory_rule(self, pool: str) -> MemoryRule:
        """Which profile serves a request for memory or a fraction in a node pool."""
        return self.memory_rules.get(pool, MemoryRule.PROPORTIONAL)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a cluster. `now` is in the seconds of `created` and `since`.

    models: every model named by a GPU, by id, as the nodes report them.
    """

    nodes: tuple[Node, ...]
    gpus: tuple[Gpu, ...]
    models: Mapping[str, GpuModel]
    pending: tuple[Request, ...] = ()
    held: tuple[Holding, ...] = ()
    projects: tuple[ProjectQueue, ...] = ()
    departments: tuple[DepartmentQueue, ...] = ()
    now: float = 0.0
