"""`plan what-if`: the production planner on an imagined cluster, as a diff of queue and layouts.

Nothing is written: the snapshot is read from the control plane and everything else happens here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migctl.admission import gpu_request_of
from migctl.cli import names
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import not_found, usage
from migctl.cli.grammar import completion, options
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view
from migctl.cli.output.tables import Column
from migctl.objects import NodePool
from solver.model import priorities

if TYPE_CHECKING:
    from migctl.controller.names import Names
    from solver.model.cluster import Gpu, Node
    from solver.model.demand import Request
    from solver.model.geometry import GpuModel
    from solver.model.snapshot import Policy, Snapshot
    from solver.whatif import Changed, Difference

_TIMES = re.compile(r"(?P<what>\S+?)(?:\s*[x*]\s*(?P<count>\d+))?")
MOST = 10_000
SPREADINGS = ("binpack", "spread")


def what_if(
    context: typer.Context,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="ASK[xN]", help="Requests more: 0.5, 2g.10gb x3, 10GB, 2 (whole GPUs)."),
    ] = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="The added ones are interactive.")] = False,
    add_node: Annotated[
        list[str] | None, typer.Option("--add-node", metavar="GPUS", help="A node more: a100-40gb=4,v100=2.")
    ] = None,
    lose_node: Annotated[
        list[str] | None,
        typer.Option(
            "--lose-node", metavar="NODE", help="A node less; its work waits again.", autocompletion=completion.nodes
        ),
    ] = None,
    evictions: Annotated[
        int | None, typer.Option("--evictions", min=0, metavar="N", help="Another limit of evictions in one plan.")
    ] = None,
    placing: Annotated[
        str | None, typer.Option("--placing", metavar="binpack|spread", help="Another way of filling nodes.")
    ] = None,
    project: options.Project = None,
    output: options.Output = None,
) -> None:
    """Show what the planner would do if the cluster or the demand were different. Nothing is changed."""
    session = sessions.of(context)
    if placing is not None and placing not in SPREADINGS:
        raise usage(f"--placing {placing} is neither binpack nor spread", hint="--placing spread")
    if not (add or add_node or lose_node or placing or evictions is not None):
        raise usage("nothing is different", hint="give --add, --add-node, --lose-node, --evictions or --placing")

    async def compared(control: Control) -> tuple[Snapshot, Difference]:
        from migctl.controller import queues
        from migctl.solver_process.planning import plan
        from solver.model.snapshot import Policy
        from solver.whatif import SnapshotEdits, compare

        chosen = await session.choose_project(control, project) if add else ""
        state = await control.snapshot(session.system.now())
        nodes = [_node(number, text) for number, text in enumerate(add_node or [])]
        edits = SnapshotEdits(
            requests=tuple(_requests(add or [], chosen, interactive, session.system.now())),
            nodes=tuple(node for node, _, _ in nodes),
            gpus=tuple(gpu for _, gpus, _ in nodes for gpu in gpus),
            models=tuple(model for _, _, models in nodes for model in models),
            lost=frozenset(_known(state, lose_node or [])),
        )
        policy = queues.policy(Policy(), (await control.list(NodePool)).items)
        return state, compare(state, edits, policy, _policy(policy, state, edits.nodes, evictions, placing), plan)

    state, difference = session.run(compared)
    shown = view(session, output)
    if shown.format.human_readable:
        _write(difference, state)
    else:
        formats.write(_document(difference, state), shown.format)


def _requests(texts: Sequence[str], project: str, interactive: bool, now: datetime) -> list[Request]:
    from solver.model.demand import Request

    made: list[Request] = []
    for text in texts:
        match = _TIMES.fullmatch(text.strip())
        what, equals, count = text.partition("=")
        if equals:
            raise usage(f"--add {text!r} is no request", hint=f"several of them: --add '{what} x{count or 3}'")
        if match is None or int(match["count"] or 1) > MOST:
            raise usage(f"--add {text!r} is no request", hint="--add 0.5, --add '2g.10gb x3', --add 10GB")
        gpu_request = gpu_request_of(match["what"]).to_demand()
        for _ in range(int(match["count"] or 1)):
            name = f"new-{len(made) + 1}"
            made.append(
                Request(
                    claim=f"what-if/{name}",
                    name=name,
                    workload=name,
                    project=project,
                    demand=gpu_request,
                    priority=priorities.INTERACTIVE if interactive else priorities.TRAINING,
                    preemptible=not interactive,
                    created=now.timestamp(),
                )
            )
    return made


def _node(number: int, text: str) -> tuple[Node, list[Gpu], list[GpuModel]]:
    """An imagined node: MIG is on where its GPUs have it."""
    from solver.model.catalog import UnknownModel, find
    from solver.model.cluster import Gpu, Node

    name = f"new-node-{number + 1}"
    gpus: list[Gpu] = []
    models = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, count = part.partition("=")
        try:
            model = find(kind)
        except UnknownModel as error:
            raise usage(f"--add-node: {error}", hint="--add-node a100-40gb=4") from error
        if not (count or "1").isdecimal():
            raise usage(f"--add-node {part!r}: {count!r} is no number of GPUs", hint="--add-node a100-40gb=4")
        models.append(model)
        for _ in range(int(count or 1)):
            index = len(gpus)
            mig = bool(model.profiles and model.units)
            gpus.append(Gpu(f"{name}/{index}", name, index, model.id, model.memory_mib, mig=mig))
    return Node(name), gpus, models


def _known(state: Snapshot, words: Sequence[str]) -> Sequence[str]:
    there = {node.name for node in state.nodes}
    lost = [names.plain(word, "node", "nodes") for word in words]
    for name in lost:
        if name not in there:
            raise not_found(f"no node is called {name!r}", hint=f"nodes: {', '.join(sorted(there))}")
    return lost


def _policy(now: Policy, state: Snapshot, new: Sequence[Node], evictions: int | None, placing: str | None) -> Policy:
    from dataclasses import replace

    from solver.model.snapshot import Spreading

    policy = now if evictions is None else replace(now, evictions=evictions)
    if placing is None:
        return policy
    return replace(policy, spreading={node.pool: Spreading(placing) for node in (*state.nodes, *new)})


def _write(difference: Difference, before: Snapshot) -> None:
    from migctl.controller.names import Names

    names = Names(difference.snapshot, before)
    columns = [
        Column[tuple[str, str, str]]("WORKLOAD", lambda row: row[0]),
        Column[tuple[str, str, str]]("NOW", lambda row: row[1], long=True),
        Column[tuple[str, str, str]]("THEN", lambda row: row[2], long=True),
    ]
    queue = [_row(change, names) for change in difference.requests]
    tables.section("Queue", queue, columns, "no difference")
    evicted = [f"{names.claim(step.claim)}: {step.why}" for step in difference.evicted]
    tables.paragraphs("Evicted:", evicted or ["nobody"])
    layouts = [(names.gpu(uuid), layout_text(old), layout_text(new)) for uuid, (old, new) in difference.layouts.items()]
    columns[0] = Column("GPU", lambda row: row[0])
    tables.section("Layouts", layouts, columns, "no difference")


def layout_text(texts: Sequence[str]) -> str:
    """A GPU's layout on one line."""
    return ", ".join(texts) or "empty"


def _row(change: Changed, names: Names) -> tuple[str, str, str]:
    return names.claim(change.request.claim), fate_text(change.before, names), fate_text(change.after, names)


def fate_text(fate: Any, names: Names) -> str:
    """What becomes of a request, in words."""
    from migctl.reason_text import sentence
    from solver.model.demand import Grant
    from solver.model.plan import Placed

    if fate is None:
        return "-"
    if isinstance(fate, Grant):
        return f"on {names.grant(fate)}"
    if isinstance(fate, Placed):
        return f"starts on {names.grant(fate.grant)}"
    return f"waits: {sentence(fate)}"


def _document(difference: Difference, before: Snapshot) -> dict[str, Any]:
    from migctl.controller.names import Names
    from migctl.objects import API_VERSION

    names = Names(difference.snapshot, before)
    rows = (_row(change, names) for change in difference.requests)
    return {
        "apiVersion": API_VERSION,
        "kind": "WhatIf",
        "queue": [{"workload": name, "now": now, "then": then} for name, now, then in rows],
        "evicted": [{"workload": names.claim(step.claim), "why": step.why} for step in difference.evicted],
        "layouts": [
            {"gpu": names.gpu(uuid), "now": list(old), "then": list(new)}
            for uuid, (old, new) in difference.layouts.items()
        ],
    }
