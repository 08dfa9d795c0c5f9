"""`node describe`: a node, its GPUs, what runs there and what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from migctl import quantities
from migctl.cli import events
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.nodes import found
from migctl.cli.nodes.listing import NodeRow
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view
from migctl.cli.output.tables import Column
from migctl.cli.session import Session
from migctl.gpu_map import fleet
from migctl.gpu_map.fleet import Held, SeenGpu, share_text
from migctl.gpu_map.gpu_blocks import closed, free
from migctl.objects import API_VERSION, DynamicMig, Event

LATEST = 10


@dataclass(frozen=True)
class NodeDescription:
    """A node with its latest events, oldest first."""

    row: NodeRow
    events: tuple[Event, ...]


def describe(context: typer.Context, name: options.NodeName, output: options.Output = None) -> None:
    """Show everything about a node.

    Its GPUs and why one takes nothing new, the workloads on it, and what happened.
    """
    session = sessions.of(context)
    shown = view(session, output)
    described = session.run(lambda control: _read(control, name))
    if shown.format.human_readable:
        _write(described, session)
    elif shown.format is formats.Format.NAME:
        print(formats.name(described.row.node))
    else:
        formats.write(_document(described), shown.format)


async def _read(control: Control, word: str) -> NodeDescription:
    name = (await found.node(control, word)).meta.name
    seen, every = await asyncio.gather(fleet.read(control), control.list(Event))
    (node,) = (node for node in seen.nodes if node.meta.name == name)
    about = sorted((event for event in every.items if event.spec.about == f"Node/{name}"), key=events.when)
    return NodeDescription(NodeRow(node, tuple(seen.on(name)), seen), tuple(about[-LATEST:]))


def _document(described: NodeDescription) -> dict[str, Any]:
    """The description for machines."""
    held = [held for seen in described.row.gpus for held in seen.held]
    return {
        "apiVersion": API_VERSION,
        "kind": "NodeDescription",
        "node": formats.document(described.row.node),
        "workloads": sorted({f"{one.claim.meta.project}/{one.claim.spec.workload}" for one in held}),
        "remarks": list(described.row.remarks),
        "events": [formats.document(event) for event in described.events],
    }


def _write(described: NodeDescription, session: Session) -> None:
    row = described.row
    tables.facts(*_facts(row, session))
    tables.section("GPUs", row.gpus, _GPU_COLUMNS)
    here = [(held, seen) for seen in row.gpus for held in seen.held]
    tables.section("Workloads", here, _held_columns(row))
    notes = [f"{about}: {text}" for about, text in row.fleet.notes(row.node)]
    if notes:
        tables.paragraphs("Notes:", notes)
    columns = [column for column in events.table(session).columns if column.header not in ("PROJECT", "ABOUT")]
    tables.section("Latest events", described.events, columns)


def _facts(row: NodeRow, session: Session) -> Iterator[tuple[str, str]]:
    node, report = row.node, row.node.status.report
    yield "Name", node.meta.name
    yield "Status", row.status
    yield "Message", node.status.message
    yield "Node pool", row.fleet.pool_of(node)
    yield "Labels", ", ".join(f"{key}={value}" for key, value in sorted(node.meta.labels.items()))
    yield "Driver", row.driver
    yield "MIG mode", row.mig if row.gpus else ""
    yield "Dynamic MIG", _wish(node.spec.dynamic_mig, node.status.dynamic_mig)
    for name, uuid in sorted((row.fleet.gpu_name(uuid), uuid) for uuid in node.spec.gpu_dynamic_mig):
        yield f"Dynamic MIG of {name}", _wish(node.spec.gpu_dynamic_mig[uuid], node.status.gpu_dynamic_mig.get(uuid))
    yield "Allocated", f"{quantities.portion_text(row.allocated)} of {len(row.gpus)} GPUs"
    reported = node.status.reported
    yield "Reported", f"{tables.age_of(reported, session.system.now)} ago" if report and reported else ""


def _wish(wanted: bool | None, answer: DynamicMig | None) -> str:
    """The MIG mode that is wished, and what came of it."""
    if wanted is None:
        return ""
    mode = "on" if wanted else "off"
    if answer is None or answer.wanted != wanted:
        return f"{mode}: the agent has not answered yet"
    told = f": {answer.message}" if answer.message else ""
    return mode if answer.outcome == "done" else f"{mode}, {answer.outcome}{told}"


_GPU_COLUMNS: Sequence[Column[SeenGpu]] = (
    Column("GPU", lambda seen: seen.name),
    Column("MODEL", lambda seen: seen.model.id),
    Column("MIG", lambda seen: "on" if seen.gpu.mig else "off"),
    Column("MEMORY", lambda seen: quantities.memory_text(seen.gpu.memory_mib), drop=1),
    Column("USED", lambda seen: quantities.gpus_text(seen.used)),
    Column("FREE", lambda seen: quantities.gpus_text(free(seen))),
    Column("MESSAGE", lambda seen: "; ".join(closed(seen)), long=True),
)


def _held_columns(row: NodeRow) -> Sequence[Column[tuple[Held, SeenGpu]]]:
    return (
        Column("WORKLOAD", lambda one: f"{one[0].claim.meta.project}/{one[0].claim.spec.workload}"),
        Column("STATUS", lambda one: one[0].claim.status.phase.value),
        Column("PREEMPTIBLE", lambda one: "yes" if one[0].claim.spec.preemptible else "no", drop=1),
        Column("GPU", lambda one: one[1].name),
        Column("SHARE", lambda one: share_text(one[0], row.fleet)),
        Column("GPUs", lambda one: quantities.gpus_text(one[0].share.portion), drop=2),
    )
