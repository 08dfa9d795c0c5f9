"""Why a request has no place, as data: a stable code, and the facts behind it.

Facts hold names, numbers and claims, no sentences: those are made where people read them
(migctl/reason_text.py), in one way for every door. GPUs are named "node/index". Amounts are GPUs
(quota currency), MiB, or units of a MIG model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from solver.model.demand import Demand


class Code(StrEnum):
    """Why a request has no place."""

    NO_SUCH_PROFILE = "no-such-profile"
    NO_SUCH_MODEL = "no-such-model"
    NO_SUCH_POOL = "no-such-pool"
    NO_MATCHING_NODE = "no-matching-node"
    TOO_BIG = "too-big"
    WRONG_MIG_MODE = "wrong-mig-mode"
    GPUS_DIFFER = "gpus-differ"
    GPUS_FENCED = "gpus-fenced"
    NO_FREE_GPU = "no-free-gpu"
    NO_CPU_OR_MEMORY = "no-cpu-or-memory"
    BLOCKED_BY_OTHERS = "blocked-by-others"
    OVER_LIMIT = "over-limit"
    NON_PREEMPTIBLE_OVER_QUOTA = "non-preemptible-over-quota"
    GANG_DOES_NOT_FIT = "gang-does-not-fit"
    BEHIND_OTHERS = "behind-others"
    BACKING_OFF = "backing-off"
    UNKNOWN_PROJECT = "unknown-project"


class Stays(StrEnum):
    """Why a claim in the way is still there."""

    STOPPING = "stopping"
    AHEAD = "ahead"
    NOT_PREEMPTIBLE = "not-preemptible"
    PROTECTED = "protected"
    MINIMUM_RUNTIME = "minimum-runtime"
    NOWHERE_ELSE = "nowhere-else"
    NOT_MOVABLE = "not-movable"


class Bar(StrEnum):
    """What keeps a request off a node."""

    NOT_READY = "not-ready"
    CORDONED = "cordoned"
    REFUSED = "refused"
    POOL = "pool"
    LABELS = "labels"


@dataclass(frozen=True, slots=True)
class BlockingClaim:
    """A claim in the way.

    demand, profile  what it holds (None: it has been given nothing yet); start: of its MIG instance
    protection       what protects it, where that is why it stays
    """

    claim: str
    name: str
    project: str
    demand: Demand | None
    profile: str | None
    start: int | None
    stays: Stays
    protection: str = ""


@dataclass(frozen=True, slots=True)
class NeededGpu:
    """A GPU of the cheapest place there would be, and who holds it.

    profile, start, starts, units  the instance it would take, its legal starts and its size; None, (), 0 without MIG
    free_units, free_portion, free_mib  what is free of the GPU
    holders        who holds its units, or its memory
    media_holders  who holds the media engines it needs
    """

    gpu: str
    profile: str | None
    start: int | None
    starts: tuple[int, ...]
    units: int
    free_units: int
    free_portion: float
    free_mib: int
    holders: tuple[BlockingClaim, ...]
    media_holders: tuple[BlockingClaim, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """A queue in one pool, in GPUs. kind: project or department; pool: "" where there is only one; limit -1: none."""

    kind: str
    name: str
    pool: str
    allocated: float
    non_preemptible: float
    quota: float
    limit: float
    fair_share: float


@dataclass(frozen=True, slots=True)
class ProjectUnknown:
    """There is no such project; `known`: those there are."""

    project: str
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartsFailed:
    """It failed to start again and again and is not tried before `until`, seconds since the epoch."""

    until: float


@dataclass(frozen=True, slots=True)
class GangIncomplete:
    """Fewer members are there than start together."""

    gang: str
    size: int
    present: int


@dataclass(frozen=True, slots=True)
class QueueFull:
    """A queue's limit, or its quota of work that may not be preempted, does not cover `wants` GPUs more.

    limit  whether it is the limit; gang: whose members take so many together
    """

    queue: QueueFigures
    wants: float
    limit: bool
    gang: str | None = None


@dataclass(frozen=True, slots=True)
class PoolsUnknown:
    """No node is in any of the pools; `known`: those there are."""

    pools: tuple[str, ...]
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProfileUnknown:
    """No GPU has the MIG profile; valid: profiles of each model."""

    profile: str
    valid: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ModelUnknown:
    """No GPU is of the model; `known`: the models there are."""

    model: str
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodesBarred:
    """What keeps it off each node, and the pool, the label values or the node's own words for it."""

    nodes: tuple[tuple[str, Bar, str], ...]


@dataclass(frozen=True, slots=True)
class TooFewGpus:
    """The best node has `able` GPUs that could serve it even if all were empty."""

    demand: Demand
    able: int


@dataclass(frozen=True, slots=True)
class LargerThanGpus:
    """No GPU has so much; largest_mib: the memory of the largest."""

    demand: Demand
    largest_mib: int


@dataclass(frozen=True, slots=True)
class MigModeDiffers:
    """GPUs that could serve it are in the other MIG mode. enabled: the mode they are in."""

    demand: Demand
    enabled: bool
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GpusDiffer:
    """A node has GPUs enough that could serve it, but not all in one way: GPU, and its profile or "" without MIG."""

    demand: Demand
    gpus: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GpusFenced:
    """Every GPU that could serve it is fenced: GPU and why."""

    gpus: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RoomReserved:
    """It has waited long: the room on the node is reserved for it until the holders end."""

    demand: Demand
    node: str
    holders: tuple[BlockingClaim, ...]


@dataclass(frozen=True, slots=True)
class OthersInTheWay:
    """What migctl may not touch is in the way: GPU and what is on it."""

    demand: Demand
    gpus: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NoCpuOrMemory:
    """No node has the CPU (millicores) and memory even without other work; nodes: what each has, None unknown."""

    demand: Demand
    cpu_milli: int
    memory_mib: int
    nodes: tuple[tuple[str, int | None, int | None], ...]


@dataclass(frozen=True, slots=True)
class FreeForOthers:
    """A place is free on the node; requests ahead of it come first."""

    demand: Demand
    node: str


@dataclass(frozen=True, slots=True)
class RoomTaken:
    """A place was free until requests ahead of it took the last one in this plan."""

    demand: Demand


@dataclass(frozen=True, slots=True)
class NoRoomBesideMembers:
    """What the gang's own members leave is no place for another one, whoever else ends."""

    demand: Demand


@dataclass(frozen=True, slots=True)
class RoomHeld:
    """The cheapest place there would be, and what would open it.

    node    where
    gpus    the place, with those in the way
    others  who holds the node's CPU, memory or neighbourhood that it needs
    moves   those who could move, and the GPU each would move to; () where no moves would open it
    ahead   whether a place was free until requests ahead of it took it
    """

    demand: Demand
    node: str
    gpus: tuple[NeededGpu, ...]
    others: tuple[BlockingClaim, ...]
    moves: tuple[tuple[BlockingClaim, str], ...]
    ahead: bool


Facts = (
    ProjectUnknown
    | StartsFailed
    | GangIncomplete
    | QueueFull
    | PoolsUnknown
    | ProfileUnknown
    | ModelUnknown
    | NodesBarred
    | TooFewGpus
    | LargerThanGpus
    | MigModeDiffers
    | GpusDiffer
    | GpusFenced
    | RoomReserved
    | OthersInTheWay
    | NoCpuOrMemory
    | FreeForOthers
    | RoomTaken
    | NoRoomBesideMembers
    | RoomHeld
)


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
class GangShort:
    """Of the members that start together so many have places; the facts are about the next one."""

    gang: str
    size: int
    places: int


@dataclass(frozen=True, slots=True)
class Unplaced:
    """No place now: a code to act on, facts, the cheapest way out where there is one.

    figures  the request's project where it counts, and the projects of those in the way
    cordoned nodes that could serve it if they were empty, and are cordoned
    """

    code: Code
    facts: Facts
    blockers: Blockers | None = None
    gang: GangShort | None = None
    figures: tuple[QueueFigures, ...] = ()
    cordoned: tuple[str, ...] = ()
