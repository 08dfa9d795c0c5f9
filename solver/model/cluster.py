"""What is there: nodes, GPUs and what occupies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from solver.model.geometry import unit_mask

NO_LABELS: Mapping[str, str] = MappingProxyType({})
"""What all nodes without labels and requests without a selector share."""


DEFAULT_POOL = "default"
"""The pool of nodes that are in no other one."""


class Backing(StrEnum):
    """What enforces a share."""

    WHOLE = "whole"
    MIG = "mig"
    DRIVER_LIMIT = "driver-limit"
    SOFTWARE = "software"


class InstanceState(StrEnum):
    """Who a MIG instance belongs to.

    busy         a claim of ours holds it
    idle         ours, unheld: reused or destroyed when a plan needs its units
    foreign      not made by us: never touched, planned around
    quarantined  the driver says in use and no process is found: planned around, reported
    """

    BUSY = "busy"
    IDLE = "idle"
    FOREIGN = "foreign"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Instance:
    """A MIG instance on a GPU. `claim` is the holder's uid, `uuid` the live MIG UUID."""

    profile: str
    start: int
    size: int
    state: InstanceState
    claim: str | None = None
    uuid: str | None = None

    @property
    def mask(self) -> int:
        """Its units."""
        return unit_mask(self.start, self.size)


@dataclass(frozen=True, slots=True)
class SharedPart:
    """A claim's part of a GPU without MIG, enforced by the driver's limit or by the shim."""

    claim: str
    portion: float
    memory_mib: int
    backing: Backing = Backing.SOFTWARE


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU and all that occupies it.

    index      as NVML numbers it on its node
    mig        MIG mode is on: it serves instances and nothing else
    held_by    uid of the claim that holds it whole
    parts      claims that share it without MIG
    fenced     why nothing new may be placed here ("" where it may)
    foreign_mib  memory that processes of no claim hold on a GPU without MIG mode: planned around
    link_group GPUs of a node with the same group are joined by NVLink (None: not known)
    """

    uuid: str
    node: str
    index: int
    model: str
    memory_mib: int
    mig: bool = False
    instances: tuple[Instance, ...] = ()
    parts: tuple[SharedPart, ...] = ()
    held_by: str | None = None
    fenced: str = ""
    link_group: int | None = None
    foreign_mib: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """A machine.

    cpu_milli, memory_mib  free host resources; None: not counted
    ready                  new work may be placed here
    cordoned               it is not ready because an admin keeps new work away; what runs goes on
    """

    name: str
    pool: str = DEFAULT_POOL
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    cpu_milli: int | None = None
    memory_mib: int | None = None
    ready: bool = True
    cordoned: bool = False
