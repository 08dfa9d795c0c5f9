"""`wait`: until a workload is in a state, is deleted, or the time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer

from migctl import quantities
from migctl.backends import workload_status
from migctl.backends.protocol import NotFound
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.grammar import options
from migctl.cli.output import watching
from migctl.cli.views.workloads import find, workload_names
from migctl.objects import Phase, Workload

DELETED = "delete"


def wait(
    context: typer.Context,
    names: options.Workloads,
    wanted: Annotated[
        str, typer.Option("--for", metavar="CONDITION", help="condition=Running, Completed, ...; or delete.")
    ] = "condition=Running",
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="At most so long: 30s, 10m.")] = "30s",
    project: options.Project = None,
) -> None:
    """Wait until workloads run, end or are gone.

    Exit code 124 when it takes too long, 1 when it cannot come any more.
    """
    session = sessions.of(context)
    wanted_names, condition, seconds = workload_names(names), _condition(wanted), quantities.duration(timeout)
    late: dict[str, Workload | None] = {}

    async def waited(control: Control) -> None:
        chosen = await session.choose_project(control, project)
        found = await asyncio.gather(*(find(control, chosen, each, session.noun) for each in wanted_names))
        late.update({workload.meta.name: None for workload in found})

        async def look() -> bool:
            for name in list(late):
                try:
                    late[name] = newest = await control.get(Workload, name, chosen)
                    there = not _reached(newest, condition)
                except NotFound:
                    there = _deleted(name, condition)
                if not there:
                    del late[name]
                    print(f"workload {name} is {'gone' if condition is None else condition}", flush=True)
            return bool(late)

        if await look():
            async with asyncio.timeout(seconds):
                await watching.follow(control, (Workload,), look)

    try:
        session.run(waited)
    except TimeoutError:
        raise _too_late(wanted, timeout, late) from None


def _condition(wanted: str) -> Phase | None:
    """The phase to wait for; None for the deletion."""
    if wanted == DELETED:
        return None
    kind, _, value = wanted.rpartition("=")
    phases = {phase.lower(): phase for phase in Phase}
    aliases = {"ready": Phase.RUNNING, "complete": Phase.COMPLETED}
    found = phases.get(value.lower()) or aliases.get(value.lower())
    if found is None or kind not in ("condition", "phase", ""):
        raise usage(f"--for={wanted} is nothing to wait for", hint=f"delete, or condition= one of {', '.join(Phase)}")
    return found


def _deleted(name: str, condition: Phase | None) -> bool:
    if condition is None:
        return False
    raise Failure(f"workload {name} was deleted before it was {condition}", code=ExitCode.NOT_FOUND)


def _reached(workload: Workload, condition: Phase | None) -> bool:
    phase = workload.status.phase
    if condition is not None and phase is not condition and phase.finished:
        raise Failure(
            f"workload {workload.meta.name} is {phase} and will not be {condition}",
            cause=workload_status.explanation(workload.status),
            hint=f"migctl logs {workload.meta.name} -p {workload.meta.project}",
        )
    return phase is condition


def _too_late(wanted: str, timeout: str, late: Mapping[str, Workload | None]) -> Failure:
    name, last = next(iter(late.items()))
    status = last.status if last else None
    return Failure(
        f"workload {', '.join(late)} did not reach {wanted} within {timeout}",
        cause=f"it is {status.phase}: {workload_status.explanation(status) or 'no reason is given'}" if status else "",
        hint=f"migctl why {name}",
        code=ExitCode.TIMEOUT,
    )
