"""Proposals kept and carried out: the controller applies them, and the command waits for what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.output import tables, watching
from migctl.cli.output.tables import Column
from migctl.objects import APPLIED, APPLY_LABEL, PARTLY_APPLIED, REQUESTED, PlacementPlan

if TYPE_CHECKING:
    from migctl.objects import Claim
    from solver.model.plan import Plan
    from solver.model.snapshot import Snapshot

ANSWER_S = 60.0

Row = tuple[str, str, str]


async def keep(control: Control, state: Snapshot, claims: Iterable[Claim], plan: Plan, note: str) -> PlacementPlan:
    """Store moves as a proposal. Raises Failure where there are too many of them for one plan."""
    from migctl.controller.proposals import proposal, too_many_moves

    made = proposal(state, claims, plan, note)
    if refused := too_many_moves(made, plan):
        raise usage(refused, hint=f"at most {len(made.spec.moves)} here: --moves")
    return await control.create(made)


async def carry_out(control: Control, plan: PlacementPlan) -> str:
    """Have the controller apply a proposal; what it says of it. Raises Failure where it does not, or not all of it."""
    name = plan.meta.name
    await control.patch(plan, {"meta": {"labels": {APPLY_LABEL: REQUESTED}}})
    answers: list[PlacementPlan] = []

    async def unanswered() -> bool:
        answers[:] = [await control.get(PlacementPlan, name)]
        return not answers[0].status.phase

    try:
        async with asyncio.timeout(ANSWER_S):
            if await unanswered():
                await watching.follow(control, (PlacementPlan,), unanswered)
    except TimeoutError:
        hint = f"is the controller well? migctl plan show {name} says what becomes of it"
        raise Failure(f"plan {name} has no answer after {ANSWER_S:g} s", hint=hint, code=ExitCode.TIMEOUT) from None
    phase, message = answers[0].status.phase, answers[0].status.message
    if phase == PARTLY_APPLIED:
        raise Failure("not every workload could be moved", cause=message, hint="migctl plan defrag")
    if phase != APPLIED:
        raise changed(name, message)
    return f"plan {name} applied: {_counted(len(plan.spec.moves))} moving"


def changed(name: str, cause: str) -> Failure:
    """The refusal of a plan that is not legal any more."""
    return Failure(
        f"nothing was moved: plan {name} cannot be applied any more",
        cause=cause,
        hint="migctl plan defrag shows what would be moved now",
        code=ExitCode.CONFLICT,
    )


def ask(count: int, yes: bool) -> None:
    """Have the moves confirmed."""
    if not yes:
        typer.confirm(f"Move {_counted(count)}, each starting again?", abort=True, err=True)


def need_somebody(yes: bool, flags: str = "--yes") -> None:
    """Raises Failure where moves would have to be asked about and nobody is there to answer."""
    import sys

    if not yes and not sys.stdin.isatty():
        raise usage("moves are asked about first, and nobody is there to answer", hint=flags)


def applied(said: str) -> None:
    """Say that it was done, and what to look at next."""
    print(said)
    sessions.note("next: migctl gpus -w")


def write_moves(title: str, rows: Sequence[Row], now: str = "NOW", then: str = "THEN") -> None:
    """Workloads with two places each."""
    columns = [
        Column[Row]("WORKLOAD", lambda row: row[0]),
        Column[Row](now, lambda row: row[1], long=True),
        Column[Row](then, lambda row: row[2], long=True),
    ]
    tables.section(title, rows, columns)


def write_obstacles(title: str, obstacles: Sequence[tuple[str, str]]) -> None:
    """Workloads that are not moved, and why."""
    if obstacles:
        columns = [
            Column[tuple[str, str]]("WORKLOAD", lambda row: row[0]),
            Column[tuple[str, str]]("WHY", lambda row: row[1], long=True),
        ]
        tables.section(title, obstacles, columns)


def _counted(count: int) -> str:
    return f"{count} workload{'' if count == 1 else 's'}"
