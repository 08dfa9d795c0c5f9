"""What a command can reach: a control plane, and what its workloads' runtime adds to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from migctl.backends.protocol import ControlPlane
from migctl.objects import Claim, Workload, WorkloadVerdict

if TYPE_CHECKING:
    from solver.model.snapshot import Snapshot


Default = Callable[[], Awaitable[str]]
"""Asks for the project to use where none is named."""


@dataclass(frozen=True)
class Execution:
    """A program that replaces this process: its arguments, all its variables, and its directory."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: str


@dataclass(frozen=True)
class Identity:
    """Who the control plane takes us for, and how it knows.

    uid    where users are those of an operating system
    roles  in words; empty where the control plane has none of its own
    until  when we have to sign in again; None: never
    """

    user: str
    vouched: str
    groups: tuple[str, ...] = ()
    uid: int | None = None
    roles: tuple[str, ...] = ()
    until: datetime | None = None


@dataclass
class Together:
    """The documents that are read together.

    names  of the objects they describe: "project/team-a"
    kept   what the control plane has answered about what they have in common, by question
    """

    bodies: Sequence[Mapping[str, Any]]
    names: frozenset[str] = frozenset()
    kept: dict[Any, Any] = field(default_factory=dict)


class Manifest(Protocol):
    """An object as a document describes it.

    name      as it is typed: "workload/train"; project "": it is in none
    notes     what of it has no effect here
    left_out  nothing is made of it here, and the notes say why
    """

    @property
    def name(self) -> str: ...

    @property
    def project(self) -> str: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def left_out(self) -> bool: ...

    async def exists(self) -> bool:
        """Whether there is such an object."""
        ...

    async def check(self, together: Together) -> str:
        """What apply would do, with the others. Raises what the control plane would refuse it for."""
        ...

    async def apply(self) -> str:
        """Make it so: created, configured or unchanged. Raises what the control plane refuses it for."""
        ...

    async def compared(self) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
        """What people write of the object: now (None: it is not there), and when it is applied."""
        ...

    async def check_removal(self, going: Collection[tuple[str, str]]) -> None:
        """Raises Conflict where others still need the object.

        going  project and name of the objects that are deleted together with it
        """
        ...

    async def delete(self) -> None:
        """Delete the object."""
        ...


class ControlExtras(Protocol):
    """What a control plane offers that is not an object."""

    @property
    def unseen(self) -> frozenset[str]:
        """Projects that what was listed so far left out, because their objects are not ours to see."""
        ...

    def logs(self, project: str, workload: str, follow: bool = False, tail: int | None = None) -> AsyncIterator[bytes]:
        """What the workload wrote, in pieces; with follow, until it ends."""
        ...

    async def execution(self, project: str, workload: str, command: Sequence[str] | None) -> Execution:
        """How to run a command, or else a shell (None), beside the workload."""
        ...

    async def identity(self) -> Identity:
        """The user that the control plane takes us for."""
        ...

    async def snapshot(self, now: datetime) -> Snapshot:
        """What a decision would be made from now."""
        ...

    async def evict(self, claim: Claim, why: str) -> None:
        """Stop a pod whose workload goes on elsewhere.

        Raises NotFound where it is gone, Conflict and Unavailable where it must be tried again, Invalid where it stays.
        """
        ...

    async def manifest(self, body: Mapping[str, Any], project: Default, together: Together) -> Manifest:
        """The object that one of the documents describes, in this project where it names none. Raises Invalid."""
        ...

    async def verdict(self, workload: Workload) -> WorkloadVerdict:
        """What would become of the workload if it were created now. Raises what creating it would."""
        ...

    async def preview(self, workload: Workload) -> None:
        """Raises what creating the workload would, and creates nothing."""
        ...


class Control(ControlPlane, ControlExtras, Protocol):
    """All that a command can reach."""
