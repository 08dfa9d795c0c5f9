"""`delete`, `suspend` and `resume`: what ends, stops and starts workloads again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.grammar import completion, options
from migctl.cli.views.workloads import find, workload_names
from migctl.objects import Workload

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME...", show_default=False, autocompletion=completion.workloads)
]
All = Annotated[bool, typer.Option("--all", help="Every workload of the project.")]


def delete(
    context: typer.Context,
    names: Names = None,
    all_of_them: All = False,
    files: options.Files = None,
    recursive: options.Recursive = False,
    missing_is_fine: Annotated[
        bool, typer.Option("--ignore-not-found", help="With -f: pass over what is not there.")
    ] = False,
    project: options.Project = None,
) -> None:
    """Delete workloads, or what files describe.

    Their shares are free for others as soon as their processes have ended.
    """
    if files:
        from migctl.cli.files import apply
        from migctl.cli.files.understanding import Source

        if names or all_of_them:
            raise usage("-f says what to delete: names and --all do too", hint=f"{context.command_path} -f FILE")
        apply.delete(sessions.of(context), Source(files, recursive, project), missing_is_fine)
        return
    if recursive or missing_is_fine:
        raise usage("-R and --ignore-not-found are about files", hint=f"{context.command_path} -f FILE")

    async def deleted(control: Control, workload: Workload) -> str:
        await control.delete(workload)
        return "deleted"

    _each(context, names, all_of_them, project, deleted)


def suspend(
    context: typer.Context, names: Names = None, all_of_them: All = False, project: options.Project = None
) -> None:
    """Stop workloads and free their GPUs.

    `resume` starts them again.
    """
    _each(context, names, all_of_them, project, _switch(True, "suspended"))


def resume(
    context: typer.Context, names: Names = None, all_of_them: All = False, project: options.Project = None
) -> None:
    """Start suspended workloads again."""
    _each(context, names, all_of_them, project, _switch(False, "resumed"))


Act = Callable[[Control, Workload], Awaitable[str]]


def _switch(suspended: bool, word: str) -> Act:
    async def switched(control: Control, workload: Workload) -> str:
        if workload.status.phase.finished:
            raise Failure(
                f"workload {workload.meta.name} is {workload.status.phase}: it cannot be {word}", code=ExitCode.CONFLICT
            )
        if workload.spec.suspended == suspended:
            return f"was {word} already" if suspended else "was not suspended"
        await control.patch(workload, {"spec": {"suspended": suspended}})
        return word

    return switched


def _each(context: typer.Context, names: list[str] | None, every: bool, project: str | None, act: Act) -> None:
    """Act on all the named workloads, or on none where one of them does not exist."""
    session = sessions.of(context)
    if bool(names) == every:
        raise usage("which workloads?", hint=f"{context.command_path} NAME..., or --all")
    named = workload_names(names) if names else []

    async def acted(control: Control) -> list[tuple[str, str]]:
        chosen = await session.choose_project(control, project)
        if every:
            known = (await control.list(Workload, chosen)).items
            workloads = [w for w in known if session.noun in (None, w.spec.type)]
        else:
            workloads = list(await asyncio.gather(*(find(control, chosen, each, session.noun) for each in named)))
        return [(workload.meta.name, await act(control, workload)) for workload in workloads]

    for name, done in session.run(acted):
        print(f"workload {name} {done}")
