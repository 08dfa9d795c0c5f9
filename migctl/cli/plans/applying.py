"""`plan apply` and `plan undo`: proposals carried out, and moves taken back, as far as that is legal now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure
from migctl.cli.grammar import completion, options
from migctl.cli.plans import carrying_out, finding
from migctl.cli.plans.carrying_out import Row
from migctl.cli.session import Session
from migctl.objects import PROPOSED, Claim, PlacementPlan

if TYPE_CHECKING:
    from migctl.controller.proposals import Obstacle
    from solver.model.plan import Plan

Name = Annotated[str, typer.Argument(metavar="PLAN", help="A plan's name.", autocompletion=completion.plans)]


def apply(context: typer.Context, name: Name, yes: options.Yes = False) -> None:
    """Carry out a proposal that was kept, after asking.

    Where it is not legal any more, nothing is done and the command says what has changed (exit code 4).
    """
    session = sessions.of(context)
    carrying_out.need_somebody(yes)
    plan, rows = session.run(lambda control: _checked(control, session, name))
    carrying_out.write_moves(f"Moves ({len(rows)})", rows)
    carrying_out.ask(len(rows), yes)
    carrying_out.applied(session.run(lambda control: carrying_out.carry_out(control, plan)))


async def _checked(control: Control, session: Session, name: str) -> tuple[PlacementPlan, list[Row]]:
    """The proposal and what it moves. Raises Failure where it is none, or not legal now."""
    from migctl.controller.names import Names
    from migctl.controller.proposals import check

    plan = await finding.find(control, name)
    if why := plan.why_not_applied:
        undo = "" if plan.spec.proposed else f"migctl plan undo {plan.meta.name}, or "
        raise Failure(
            f"plan {plan.meta.name} {why}",
            cause=plan.status.message,
            hint=f"{undo}a new one: migctl plan defrag --save",
            code=ExitCode.CONFLICT,
        )
    state = await control.snapshot(session.system.now())
    found = check(plan, state, (await control.list(Claim)).items)
    if found.obstacles:
        raise carrying_out.changed(plan.meta.name, "; ".join(f"{who}: {why}" for who, why in found.obstacles))
    names = Names(state)
    return plan, [
        (move.name, names.grant(move.before.grant()), names.grant(move.after.grant()))
        for move in plan.spec.moves
        if move.before and move.after
    ]


def undo(context: typer.Context, name: Name, yes: options.Yes = False) -> None:
    """Put back what a plan moved, after asking, as far as that is legal now.

    What cannot be put back is named with the reason. Where nothing can be, the exit code is 4.
    """
    session = sessions.of(context)
    carrying_out.need_somebody(yes)
    plan, back, rows, stays = session.run(lambda control: _way_back(control, session, name))
    if rows:
        carrying_out.write_moves(f"Moves back ({len(rows)})", rows)
    carrying_out.write_obstacles(f"Stay ({len(stays)})", stays)
    if not rows:
        _nothing(plan, stays)
        return
    carrying_out.ask(len(rows), yes)
    carrying_out.applied(session.run(lambda control: _put_back(control, session, plan, back)))


async def _way_back(
    control: Control, session: Session, name: str
) -> tuple[PlacementPlan, Plan, list[Row], tuple[Obstacle, ...]]:
    from migctl.controller.names import Names
    from migctl.controller.proposals import put_back
    from solver.model.plan import Assign

    plan = await finding.find(control, name)
    if plan.phase == PROPOSED:
        raise Failure(
            f"plan {plan.meta.name} was not applied: there is nothing to undo",
            hint=f"migctl plan apply {plan.meta.name}",
            code=ExitCode.CONFLICT,
        )
    state = await control.snapshot(session.system.now())
    relocations, stays = put_back(plan, state, (await control.list(Claim)).items)
    names, held = Names(state), {holding.request.claim: holding.grant for holding in state.held}
    rows = [
        (names.claim(step.claim), names.grant(held[step.claim]), names.grant(step.grant))
        for step in relocations.plan.steps
        if isinstance(step, Assign)
    ]
    return plan, relocations.plan, rows, stays


async def _put_back(control: Control, session: Session, plan: PlacementPlan, back: Plan) -> str:
    from migctl.verdicts.proposing import undoes

    state, claims = await control.snapshot(session.system.now()), (await control.list(Claim)).items
    kept = await carrying_out.keep(control, state, claims, back, undoes(plan))
    return await carrying_out.carry_out(control, kept)


def _nothing(plan: PlacementPlan, stays: tuple[Obstacle, ...]) -> None:
    """Raises Failure unless all is where it was."""
    from migctl.controller.proposals import IN_PLACE

    if all(why == IN_PLACE for _, why in stays):
        print(f"plan {plan.meta.name}: nothing to put back")
        return
    raise Failure(
        f"nothing of plan {plan.meta.name} can be put back now",
        hint=f"migctl plan diff {plan.meta.name}",
        code=ExitCode.CONFLICT,
    )
