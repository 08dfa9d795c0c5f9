"""`logs`: what a workload wrote, as bytes and as it comes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.views.workloads import find, one_workload


def logs(
    context: typer.Context,
    names: options.OneWorkload,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the workload ends.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, metavar="N", help="Only the last N lines.")] = None,
    project: options.Project = None,
) -> None:
    """Show what a workload wrote."""
    session = sessions.of(context)
    wanted = one_workload(names)

    async def copied(control: Control) -> None:
        chosen = await session.choose_project(control, project)
        workload = await find(control, chosen, wanted, session.noun)
        async for piece in control.logs(chosen, workload.meta.name, follow, tail):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()

    session.run(copied)
