"""Roles and where they count, as options and in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from migctl.cli.failures import Failure, usage
from migctl.cli.grammar import completion, options
from migctl.cli.session import Session
from migctl.objects import AccessScope, Role, RoleInScope

if TYPE_CHECKING:
    from migctl.backends.http.client import RemoteControlPlane
    from migctl.cli.contexts.control import Control

R = TypeVar("R")

User = Annotated[str, typer.Argument(metavar="USER", show_default=False)]
RoleArgument = Annotated[Role, typer.Argument(metavar="ROLE", show_default=False, case_sensitive=False)]
RoleOption = Annotated[Role, typer.Option("--role", metavar="ROLE", help=f"{', '.join(Role)}.", case_sensitive=False)]
Project = options.Project
Department = Annotated[
    str | None,
    typer.Option("--department", metavar="NAME", help="In all projects of it.", autocompletion=completion.departments),
]


def given(session: Session, role: Role, project: str | None, department: str | None) -> RoleInScope:
    """The role in the scope of the options; with neither, everywhere. The default project is not meant."""
    project = project or session.project
    if project and department:
        raise usage("--project and --department exclude each other", hint="keep one of them")
    return RoleInScope(role=role, scope=AccessScope(project=project or "", department=department or ""))


def told(access: RoleInScope) -> str:
    """A role and where it counts, in words."""
    return f"{access.role} {where(access.scope)}"


def where(scope: AccessScope) -> str:
    """Where a role counts, in words."""
    if scope.project:
        return f"in project {scope.project}"
    return f"in department {scope.department}" if scope.department else "everywhere"


def column(scope: AccessScope) -> str:
    """The same in a cell of a table."""
    if scope.project:
        return f"project/{scope.project}"
    return f"department/{scope.department}" if scope.department else "everywhere"


def on_machine(session: Session, work: Callable[[Control], Awaitable[R]], instead: str) -> R:
    """Do it on a control plane of one machine. instead: what does the same on a cluster."""
    if session.target.cluster:
        raise Failure(
            "on a cluster the API server knows who may do what",
            cause=f"{session.target.name} is a cluster's",
            hint=instead,
        )
    return session.run(work)


def rest(control: Control) -> RemoteControlPlane:
    """The control plane's REST API."""
    from migctl.backends.http.client import RemoteControlPlane

    if not isinstance(control, RemoteControlPlane):
        raise Failure("there is no REST API here", hint="migctl context use local")
    return control
