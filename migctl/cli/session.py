"""What a command needs from outside: the control plane, settings, the clock, the streams.

A System is made once by the entry point (tests bring their own); a Session is a System plus the options
before the command. Commands are plain functions: `run` gives their coroutine a connected control plane.
What only running commands need is imported when they run: help and completion come through here too.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from migctl.cli import names
from migctl.cli.failures import Failure, not_found, printable, usage

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path

    from migctl.backends.protocol import ControlPlane
    from migctl.cli.contexts.context import Context
    from migctl.cli.contexts.control import Control
    from migctl.cli.settings import Config
    from migctl.objects import Project

R = TypeVar("R")

DEFAULT_NOTICE = (
    "note: migctl is not running on this machine, so commands go to the kubeconfig's current context, {name}; "
    "migctl context use NAME chooses another control plane. This is said once."
)
UNSEEN_NAMED = 3
UNSEEN_NOTICE = (
    "note: what runs in other projects ({names}) is not yours to see: it is left out, and counts as taken where it runs"
)


@dataclass(frozen=True)
class System:
    """What the command line takes from outside.

    locate      the control plane of a name, or the default one (None)
    connect     opens one
    execute     replaces this process: arguments, environment, directory
    random_name a name for a workload that was given none
    """

    environ: Mapping[str, str]
    directory: str
    now: Callable[[], datetime]
    locate: Callable[[Mapping[str, str], str | None], Context]
    connect: Callable[[Context, Mapping[str, str]], AbstractAsyncContextManager[Control]]
    execute: Callable[[Sequence[str], Mapping[str, str], str], None]
    random_name: Callable[[], str]


@dataclass(frozen=True)
class Session:
    """A System and the options before the command.

    project, output  from -p and -o, None where not given
    context          from --context, None where not given
    kubeconfig       from --kubeconfig, None where not given
    noun             value of the WorkloadType that a noun-first command is about
    """

    system: System
    project: str | None = None
    output: str | None = None
    noun: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """The environment, with --kubeconfig in it."""
        return {**self.system.environ, **({"KUBECONFIG": self.kubeconfig} if self.kubeconfig else {})}

    @cached_property
    def target(self) -> Context:
        """The control plane that this command is about. Raises Failure where there is none."""
        return self.system.locate(self.environ, self.setting("context", None))

    @cached_property
    def config_path(self) -> Path:
        """Where the config file is."""
        from migctl.cli import settings

        return settings.config_path(self.system.environ)

    @cached_property
    def config(self) -> Config:
        """The config file as it was at the first look."""
        from migctl.cli import settings

        return settings.load(self.config_path)

    def change_config(self, **changes: Any) -> None:
        """Change the config file."""
        import msgspec

        from migctl.cli import settings

        settings.save(self.config_path, msgspec.structs.replace(settings.load(self.config_path), **changes))

    def setting(self, name: str, flag: str | None) -> str | None:
        """The value of `project`, `output` or `context`: flag, MIGCTL_*, config file, or None."""
        return flag or getattr(self, name) or self.stored_setting(name)

    def stored_setting(self, name: str) -> str | None:
        """The value that holds without flags: MIGCTL_*, config file, or None."""
        if value := self.system.environ.get(f"MIGCTL_{name.upper()}"):
            return value
        if name == "project" and self.target.elsewhere:
            return self.config.projects.get(self.target.name) or self.target.own_namespace
        stored: str | None = getattr(self.config, name)
        return stored

    def set_default_project(self, name: str) -> None:
        """Make a project the one that commands on this control plane are about without -p."""
        if self.target.elsewhere:
            self.change_config(projects={**self.config.projects, self.target.name: name})
        else:
            self.change_config(project=name)

    def run(self, work: Callable[[Control], Awaitable[R]], *, across: bool = True) -> R:
        """The result of `work`, done with a connected control plane. across: it shows what is in all projects."""
        import asyncio

        target = self.target
        if target.cluster and not target.chosen:
            note_once(self, f"context {target.name}", DEFAULT_NOTICE.format(name=target.name))

        async def connected() -> R:
            asyncio.get_running_loop().set_exception_handler(_unless_cancelled)
            async with self.system.connect(target, self.environ) as control:
                result = await work(control)
                if across and control.unseen:
                    note(UNSEEN_NOTICE.format(names=_few(sorted(control.unseen))))
                return result

        return asyncio.run(connected())

    async def choose_project(self, control: Control, flag: str | None) -> str:
        """The project a command is about, which exists. With none chosen, the only one there is."""
        wanted = self.setting("project", flag)
        if wanted is not None:
            return (await require_project(control, wanted)).meta.name
        others = await project_names(control)
        if len(others) == 1:
            return others[0]
        if not others:
            raise not_found("there is no project yet", hint="migctl project create NAME --quota 1")
        raise usage("no project is chosen", hint=f"add -p, or migctl project set NAME; projects: {', '.join(others)}")


def _unless_cancelled(loop: asyncio.AbstractEventLoop, problem: dict[str, Any]) -> None:
    """Report exceptions that nothing awaits, except data for a read that was just cancelled: anyio raises that."""
    import asyncio

    if not isinstance(problem.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(problem)


def _few(names: Sequence[str]) -> str:
    shown = names[:UNSEEN_NAMED]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def of(context: typer.Context) -> Session:
    """The session of a running command."""
    session = context.obj
    assert isinstance(session, Session)
    return session


def about(context: typer.Context, noun: str) -> None:
    """Let the commands below a noun see it."""
    context.obj = replace(of(context), noun=noun)


async def project_names(control: ControlPlane) -> list[str]:
    """The names of all projects, sorted."""
    from migctl.objects import Project

    return sorted(project.meta.name for project in (await control.list(Project)).items)


async def require_project(control: ControlPlane, name: str) -> Project:
    """The project, or a failure that lists those there are."""
    from migctl.backends.protocol import NotFound
    from migctl.objects import Project

    name = names.plain(name, "project", "projects")
    try:
        return await control.get(Project, name)
    except NotFound:
        others = await project_names(control)
    known = f"projects: {', '.join(others)}" if others else "there is none yet: migctl project create NAME --quota 1"
    raise not_found(f"no project is called {name!r}", hint=known)


def note(text: str) -> None:
    """Print on stderr what is not the command's data."""
    print(printable(text), file=sys.stderr)


def note_once(session: Session, key: str, text: str) -> None:
    """A note that is shown the first time only. Where that cannot be remembered it is shown again."""
    if key in session.config.notices:
        return
    note(text)
    try:
        session.change_config(notices=(*session.config.notices, key))
    except (OSError, Failure):
        return
