"""`plan defrag`: moves that merge free room, as a diff of layouts; carried out only with --apply.

The proposal is the planner's on a snapshot of now. Before it is carried out it is made once more: if
the cluster has moved on and the moves would be others, nothing is done.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.grammar import options
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view
from migctl.cli.output.tables import Column
from migctl.cli.plans.what_if import gpu_request_of, layout_text
from migctl.cli.session import Session
from migctl.demands import to_demand
from migctl.objects import API_VERSION, NodePool

if TYPE_CHECKING:
    from migctl.controller.names import Names
    from solver.defragment import Proposal
    from solver.model.demand import Demand
    from solver.model.snapshot import Snapshot

LayoutChange = tuple[str, str, str]


def defrag(
    context: typer.Context,
    moves: Annotated[int, typer.Option("--moves", min=1, metavar="N", help="At most so many workloads move.")] = 8,
    target: Annotated[
        str | None,
        typer.Option("--for", metavar="REQUEST", help="Open places for this: 3g.20gb, 20GB, 1 (a whole GPU)."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Carry the moves out, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: options.Output = None,
) -> None:
    """Show which few moves would join free room, and what would fit then. Nothing is changed without --apply.

    A moved workload starts again in its new place. Work that may not be preempted stays where it is.
    """
    session = sessions.of(context)
    demand = to_demand(gpu_request_of(target)) if target else None
    if apply and not yes and not sys.stdin.isatty():
        raise usage("moves are asked about first, and nobody is there to answer", hint="--apply --yes")
    if apply and session.target.cluster:
        raise Failure(
            "moves on a cluster are not made from here",
            cause="only the controller reserves slots for moved pods",
            hint="migctl plan defrag shows them; what is deleted is placed anew: kubectl delete pod POD",
        )
    state, proposal = session.run(lambda control: _proposed(control, session, demand, moves))
    shown = view(session, output)
    if shown.format.human_readable:
        _write(state, proposal)
    else:
        formats.write(_document(state, proposal), shown.format)
    if apply and proposal.moves:
        _ask(len(proposal.moves), yes)
        session.run(lambda control: _apply(control, session, demand, moves, proposal))
        sessions.note(f"{len(proposal.moves)} moving; next: migctl gpus -w")


async def _proposed(control: Control, session: Session, demand: Demand | None, moves: int) -> tuple[Snapshot, Proposal]:
    from migctl.controller import queues
    from solver.defragment import propose
    from solver.model.snapshot import Policy

    state = await control.snapshot(session.system.now())
    policy = queues.policy(Policy(), (await control.list(NodePool)).items)
    return state, propose(state, moves, demand, policy)


def _ask(count: int, yes: bool) -> None:
    if not yes:
        typer.confirm(f"Move {count} workload{'s' if count > 1 else ''}, each starting again?", abort=True, err=True)


async def _apply(control: Control, session: Session, demand: Demand | None, moves: int, shown: Proposal) -> None:
    from migctl.backends.mirror import Mirror
    from migctl.controller.apply import Applier
    from migctl.objects import StepState

    state, newest = await _proposed(control, session, demand, moves)
    if newest.moves != shown.moves:
        raise Failure(
            "nothing was moved: the cluster has changed since the moves were shown",
            hint="migctl plan defrag shows what would be moved now",
            code=ExitCode.CONFLICT,
        )
    mirror = Mirror(control)
    await mirror.read()
    verdicts = await Applier(control, mirror, session.system.now).apply(newest.plan, state)
    rejected = [why for verdict, why in verdicts.values() if verdict is StepState.REJECTED]
    if rejected:
        raise Failure("not every workload could be moved", cause="; ".join(rejected), hint="migctl plan defrag")


def _write(state: Snapshot, proposal: Proposal) -> None:
    from migctl.controller.names import Names

    names = Names(state)
    if not proposal.moves:
        print("No move would open a slot: free room is in one piece already, or what is in its way may not be moved.")
        return
    rows = [(names.claim(m.request.claim), names.grant(m.old), names.grant(m.new)) for m in proposal.moves]
    tables.section(f"Moves ({len(rows)})", rows, _columns("WORKLOAD"))
    room = [(name, str(before), str(after)) for name, (before, after) in proposal.room.items() if before != after]
    tables.section("What fits", room, _columns("SHARE"))
    tables.section("Layouts", _layouts(proposal, names), _columns("GPU"))


def _columns(first: str) -> list[Column[LayoutChange]]:
    return [
        Column(first, lambda row: row[0]),
        Column("NOW", lambda row: row[1], long=True),
        Column("THEN", lambda row: row[2], long=True),
    ]


def _layouts(proposal: Proposal, names: Names) -> list[LayoutChange]:
    return [(names.gpu(uuid), layout_text(old), layout_text(new)) for uuid, (old, new) in proposal.layouts.items()]


def _document(state: Snapshot, proposal: Proposal) -> dict[str, Any]:
    from migctl.controller.names import Names

    names = Names(state)
    return {
        "apiVersion": API_VERSION,
        "kind": "Defragmentation",
        "moves": [
            {"workload": names.claim(m.request.claim), "now": names.grant(m.old), "then": names.grant(m.new)}
            for m in proposal.moves
        ],
        "fits": [{"share": name, "now": now, "then": then} for name, (now, then) in proposal.room.items()],
        "layouts": [
            {"gpu": names.gpu(uuid), "now": list(old), "then": list(new)}
            for uuid, (old, new) in proposal.layouts.items()
        ],
    }
