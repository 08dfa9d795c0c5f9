"""`plan list|show`: what was decided or is proposed, in which order it is carried out, and how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import completion, options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.output import tables, watching
from migctl.cli.output.listings import TableKind, view, write_one
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import TableSource
from migctl.cli.plans import finding
from migctl.cli.plans.applying import apply, undo
from migctl.cli.plans.comparing import diff
from migctl.cli.plans.defrag import defrag
from migctl.cli.plans.what_if import what_if
from migctl.cli.session import Session
from migctl.objects import PlacementPlan, PlanOutcome, PlanSpec, PlanStep
from solver.model.plan import Method


def certificate(spec: PlanSpec) -> str:
    """How good the plan is, as a sentence."""
    if spec.method == Method.OPTIMAL:
        return "optimal: no plan admits more"
    if spec.bound > 0 and spec.gap <= 0:
        return f"{spec.method}: as much as any plan can admit"
    if spec.bound > 0:
        return f"{spec.method}: at most {spec.gap:.1%} below the best that any plan can admit"
    return f"{spec.method}: placed as it came, without a bound"


def _table(session: Session) -> TableKind[PlacementPlan]:
    return TableKind(
        "PlacementPlan",
        (
            Column("NAME", lambda plan: plan.meta.name),
            age_column(lambda plan: plan.meta.created, session.system.now),
            Column("PHASE", _phase),
            Column("METHOD", lambda plan: plan.spec.method, drop=3),
            Column("PLACED", lambda plan: str(_placed(plan)), key=_placed),
            Column("WAITING", lambda plan: str(_waiting(plan)), key=_waiting),
            Column("EVICTIONS", lambda plan: str(_evictions(plan)), key=_evictions),
            Column(
                "OPERATIONS",
                lambda plan: str(plan.spec.operations),
                key=lambda plan: plan.spec.operations,
                drop=4,
            ),
            Column("GAP", lambda plan: _gap(plan.spec), key=lambda plan: plan.spec.gap, drop=2),
            Column("MS", lambda plan: f"{plan.spec.milliseconds:.1f}", key=lambda plan: plan.spec.milliseconds, drop=5),
            Column("NOTE", lambda plan: plan.spec.note, wide=True, long=True),
        ),
        lambda plan: plan,
    )


def _phase(plan: PlacementPlan) -> str:
    """How far a proposal is; a record says of each step what became of it."""
    return plan.phase if plan.spec.proposed else "Decided"


def _gap(spec: PlanSpec) -> str:
    return f"{spec.gap:.1%}" if spec.bound > 0 else "-"


def _placed(plan: PlacementPlan) -> int:
    return sum(outcome.placed for outcome in plan.spec.outcomes) + plan.spec.left_out.placed


def _waiting(plan: PlacementPlan) -> int:
    return sum(not outcome.placed for outcome in plan.spec.outcomes) + plan.spec.left_out.waiting


def _evictions(plan: PlacementPlan) -> int:
    return sum(step.action == "evict" for step in plan.spec.steps) + plan.spec.left_out.evictions


app = typer.Typer(cls=HelpGroup, help="Plans: what was decided, and why.", **APP_SETTINGS)
app.callback()(lambda: None)


@app.command("list")
@grouped
def list_plans(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Only the newest N.")] = 20,
    listed: ListOptions,
    watch: options.Watch = False,
) -> None:
    """List plans, the newest first."""
    session = sessions.of(context)
    shown = listed.view(session)

    async def source(control: Control) -> TableSource[PlacementPlan]:
        async def read() -> Sequence[PlacementPlan]:
            return (await finding.newest_first(control))[:limit]

        return TableSource(_table(session), shown, read, empty="no plans yet")

    watching.show(session, (PlacementPlan,), source, watch)


@app.command("show")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A plan's name.", autocompletion=completion.plans)] = finding.LATEST,
    output: options.Output = None,
) -> None:
    """Show a plan: its steps in order, what it means for each request, its certificate."""
    session = sessions.of(context)

    plan = session.run(lambda control: finding.find(control, name))
    write_one(plan, view(session, output), lambda: _write(plan, session))


def _write(plan: PlacementPlan, session: Session) -> None:
    spec = plan.spec
    tables.facts(
        ("Name", plan.meta.name),
        ("Made", f"{tables.age_of(plan.meta.created, session.system.now)} ago, in {spec.milliseconds:.1f} ms"),
        ("Phase", _phase(plan)),
        ("Message", plan.status.message),
        ("Certificate", "" if spec.proposed else certificate(spec)),
        ("Operations", f"{spec.operations} creates and destroys (at least {spec.operations_bound})"),
        ("Note", spec.note),
    )
    tables.section("Steps", enumerate(spec.steps), _step_columns())
    if not spec.proposed:  # a proposal moves what runs
        tables.section("Outcomes", spec.outcomes, _outcome_columns())
    more = spec.left_out
    if more.steps or more.placed or more.waiting:
        print(f"and {more.steps} more steps, {more.placed} more placed, {more.waiting} more waiting")


def _step_columns() -> list[Column[tuple[int, PlanStep]]]:
    return [
        Column("NO.", lambda row: str(row[0])),
        Column("STEP", lambda row: row[1].text, long=True),
        Column("AFTER", lambda row: _numbers(row[1].after)),
        Column("STATE", lambda row: row[1].state.value),
        Column("REASON", lambda row: row[1].reason, long=True),
    ]


def _numbers(positions: Iterable[int]) -> str:
    return ", ".join(str(position) for position in positions)


def _outcome_columns() -> list[Column[PlanOutcome]]:
    return [
        Column("WORKLOAD", lambda outcome: outcome.name),
        Column("OUTCOME", lambda outcome: "placed" if outcome.placed else "waits"),
        Column("WHERE OR WHY", lambda outcome: outcome.text, long=True),
    ]


app.command("diff")(diff)
app.command("apply")(apply)
app.command("undo")(undo)
app.command("what-if")(what_if)
app.command("defrag")(defrag)
