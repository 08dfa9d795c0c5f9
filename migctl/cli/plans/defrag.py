"""`plan defrag`: moves that merge free room, as a diff of layouts; kept with --save, carried out only with --apply.

The proposal is the planner's on a snapshot of now. With --save it is kept, to be looked at and applied later; with
--apply it is kept and applied at once. The controller carries it out, on one machine and on a cluster alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migctl.admission import gpu_request_of
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view
from migctl.cli.output.tables import Column
from migctl.cli.plans import carrying_out
from migctl.cli.plans.what_if import layout_text
from migctl.cli.session import Session
from migctl.objects import Claim, NodePool, PlacementPlan

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
    save: Annotated[bool, typer.Option("--save", help="Keep the moves as a plan, to be applied later.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Carry the moves out, after asking.")] = False,
    yes: options.Yes = False,
    output: options.Output = None,
) -> None:
    """Show which few moves would join free room, and what would fit then.

    Nothing is changed without --apply. A moved workload starts again in its new place. Work that may not be preempted,
    or is not to be moved, stays where it is.
    """
    session = sessions.of(context)
    demand = gpu_request_of(target).to_demand() if target else None
    if apply:
        carrying_out.need_somebody(yes, "--apply --yes")
    shown = view(session, output)
    state, proposal = session.run(lambda control: _proposed(control, session, demand, moves))
    kept = session.run(lambda control: _kept(control, state, proposal)) if save and proposal.moves else None
    if shown.format.human_readable:
        _write(state, proposal)
    else:
        from migctl.verdicts import proposing

        formats.write(proposing.document(state, proposal, kept.meta.name if kept else ""), shown.format)
    if kept is not None and not apply:
        name = kept.meta.name
        sessions.note(f"kept as {name}; next: migctl plan diff {name}, migctl plan apply {name}")
    if apply and proposal.moves:
        carrying_out.ask(len(proposal.moves), yes)
        said = session.run(lambda control: _apply(control, state, proposal, kept))
        sessions.note(f"{said}; next: migctl gpus -w")


async def _proposed(control: Control, session: Session, demand: Demand | None, moves: int) -> tuple[Snapshot, Proposal]:
    from migctl.controller import queues
    from solver.defragment import propose
    from solver.model.snapshot import Policy

    state = await control.snapshot(session.system.now())
    policy = queues.policy(Policy(), (await control.list(NodePool)).items)
    return state, propose(state, moves, demand, policy)


async def _kept(control: Control, state: Snapshot, proposal: Proposal) -> PlacementPlan:
    from migctl.verdicts.proposing import DEFRAGMENTS

    claims = (await control.list(Claim)).items
    return await carrying_out.keep(control, state, claims, proposal.plan, DEFRAGMENTS)


async def _apply(control: Control, state: Snapshot, proposal: Proposal, kept: PlacementPlan | None) -> str:
    return await carrying_out.carry_out(control, kept or await _kept(control, state, proposal))


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
