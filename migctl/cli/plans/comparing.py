"""`plan diff`: a plan against now, or against another plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import completion, options
from migctl.cli.output import formats
from migctl.cli.output.listings import view
from migctl.cli.plans import carrying_out, finding
from migctl.cli.plans.carrying_out import Row
from migctl.cli.session import Session
from migctl.objects import API_VERSION, PROPOSED, Claim, PlacementPlan, PlanMove, PlanPlace

if TYPE_CHECKING:
    from migctl.controller.names import Names

NO_PLACE = "no place"
NOT_NAMED = "not in this plan"


@dataclass(frozen=True)
class Compared:
    """rows: workloads with two different places; obstacles: why the proposal cannot be applied any more."""

    plan: PlacementPlan
    rows: list[Row]
    obstacles: tuple[tuple[str, str], ...] = ()


def diff(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="PLAN", help="A plan's name.", autocompletion=completion.plans)
    ] = finding.LATEST,
    other: Annotated[
        str | None,
        typer.Argument(
            metavar="[PLAN]",
            help="Another plan; now, where it is left out.",
            show_default=False,
            autocompletion=completion.plans,
        ),
    ] = None,
    output: options.Output = None,
) -> None:
    """Show where a plan puts workloads and where they are now, or where another plan puts them.

    Of a proposal it says whether it can still be applied.
    """
    session = sessions.of(context)
    shown = view(session, output)
    compared = session.run(lambda control: _compared(control, session, name, other))
    if shown.format.human_readable:
        _write(compared, other)
    else:
        formats.write(_document(compared, other), shown.format)


async def _compared(control: Control, session: Session, name: str, other: str | None) -> Compared:
    from migctl.controller.names import Names
    from migctl.controller.proposals import check

    plan = await finding.find(control, name)
    state = await control.snapshot(session.system.now())
    names = Names(state)
    if other is not None:
        second = await finding.find(control, other)
        return Compared(plan, _between(_places(plan, names), _places(second, names)))
    claims = (await control.list(Claim)).items
    rows = _from_now(plan, claims, names)
    return Compared(plan, rows, check(plan, state, claims).obstacles if plan.phase == PROPOSED else ())


def _from_now(plan: PlacementPlan, claims: tuple[Claim, ...], names: Names) -> list[Row]:
    from migctl.controller.proposals import Pods, stands_at

    pods, rows = Pods(claims), list[Row]()
    for move in plan.spec.moves:
        claim = pods.now(move)
        held = claim.status.allocation if claim else None
        if not stands_at(claim, move.after) and not (held is None and move.after is None):
            now = names.grant(held) if held else "waits" if claim else "does not run"
            rows.append((move.name, now, _place(move.after, names)))
    return rows


def _places(plan: PlacementPlan, names: Names) -> Mapping[tuple[str, int, str], tuple[PlanMove, str]]:
    """Where the plan puts each pod."""
    return {(m.workload_uid, m.index, m.name): (m, _place(m.after, names)) for m in plan.spec.moves}


def _between(
    first: Mapping[tuple[str, int, str], tuple[PlanMove, str]],
    second: Mapping[tuple[str, int, str], tuple[PlanMove, str]],
) -> list[Row]:
    rows = []
    for pod in dict.fromkeys((*first, *second)):
        one, two = (plan[pod][1] if pod in plan else NOT_NAMED for plan in (first, second))
        if one != two:
            rows.append((pod[2], one, two))
    return rows


def _place(place: PlanPlace | None, names: Names) -> str:
    return NO_PLACE if place is None else names.grant(place.grant())


def _write(compared: Compared, other: str | None) -> None:
    name = compared.plan.meta.name
    if not compared.rows:
        print(f"No difference: {name} puts everything where {'it is' if other is None else f'{other} does'}.")
    elif other is None:
        carrying_out.write_moves("Differences", compared.rows, "NOW", "PLAN")
    else:
        carrying_out.write_moves("Differences", compared.rows, name.upper(), other.upper())
    if compared.plan.phase == PROPOSED and other is None:
        carrying_out.write_obstacles("Not legal any more", compared.obstacles)
        if not compared.obstacles:
            sessions.note(f"it can be applied: migctl plan apply {name}")


def _document(compared: Compared, other: str | None) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "PlanDifference",
        "plan": compared.plan.meta.name,
        "against": other or "now",
        "phase": compared.plan.phase,
        "differences": [
            {"workload": who, "plan": plan, "other": now}
            for who, now, plan in (
                compared.rows if other is None else [(who, two, one) for who, one, two in compared.rows]
            )
        ],
        "obstacles": [{"workload": who, "why": why} for who, why in compared.obstacles],
    }
