"""`node list` and `list nodes`: the machines, their GPUs and what is allocated of them. `node set`: MIG mode."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from migctl import quantities
from migctl.cli import names
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, not_found, usage
from migctl.cli.grammar import completion, options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.grammar.selectors import selector
from migctl.cli.output import watching
from migctl.cli.output.listings import OutputOptions, TableKind
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import TableSource
from migctl.cli.session import Session
from migctl.cli.views import fleet
from migctl.cli.views.fleet import Fleet, SeenGpu
from migctl.objects import Claim, DynamicMig, GpuNode

SWITCH_S = 90.0  # enabling takes a driver 4 to 6 s per GPU, of which a node has eight


@dataclass(frozen=True)
class NodeRow:
    """A node and its GPUs."""

    node: GpuNode
    gpus: tuple[SeenGpu, ...]
    fleet: Fleet

    @property
    def status(self) -> str:
        """`Ready` or `NotReady`, and whether it is cordoned."""
        ready = "Ready" if self.node.status.ready else "NotReady"
        return f"{ready},Cordoned" if self.node.spec.cordoned else ready

    @property
    def allocated(self) -> float:
        """What is allocated of its GPUs, in GPUs of the quota currency."""
        return sum(seen.used for seen in self.gpus)

    @property
    def types(self) -> str:
        """The GPU models, with their number where there are several."""
        counts = Counter(seen.model.id for seen in self.gpus)
        return ", ".join(model if len(counts) == 1 else f"{count} x {model}" for model, count in sorted(counts.items()))

    @property
    def mig(self) -> str:
        """MIG mode of its GPUs: on, off, or on how many of them."""
        on = sum(seen.gpu.mig for seen in self.gpus)
        return {0: "off", len(self.gpus): "on"}.get(on, f"{on}/{len(self.gpus)}")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is wrong with it, its GPUs or what runs on them."""
        return self.fleet.remarks(self.node)

    @property
    def driver(self) -> str:
        """The driver's version."""
        report = self.node.status.report
        if report is None:
            return ""
        return f"{report.driver} (simulated)" if report.simulated else report.driver


def table(now: Callable[[], datetime]) -> TableKind[NodeRow]:
    """The table of nodes."""
    return TableKind(
        "GpuNode",
        (
            Column("NAME", lambda row: row.node.meta.name),
            Column("STATUS", lambda row: row.status, style=lambda row: "" if row.node.status.ready else "red"),
            Column("POOL", lambda row: row.node.spec.pool, drop=2),
            Column("GPU TYPE", lambda row: row.types, drop=1),
            Column("MIG", lambda row: row.mig),
            Column("GPUs", lambda row: str(len(row.gpus)), key=lambda row: len(row.gpus)),
            Column("ALLOCATED", lambda row: quantities.portion_text(row.allocated), key=lambda row: row.allocated),
            age_column(lambda row: row.node.meta.created, now, drop=3),
            Column("DRIVER", lambda row: row.driver, wide=True, drop=4),
            Column("MESSAGE", lambda row: "; ".join(row.remarks), long=True),
        ),
        lambda row: row.node,
        lambda row: {"gpus": len(row.gpus), "allocated": round(row.allocated, 3), "remarks": list(row.remarks)},
    )


def write(session: Session, shown: OutputOptions, labels: str | None, watch: bool) -> None:
    """Write every node that the label selector chooses."""
    matches = selector(labels)

    async def source(control: Control) -> TableSource[NodeRow]:
        async def read() -> list[NodeRow]:
            seen = await fleet.read(control)
            return [
                NodeRow(node, tuple(seen.on(node.meta.name)), seen) for node in seen.nodes if matches(node.meta.labels)
            ]

        return TableSource(table(session.system.now), shown, read, empty="no nodes")

    watching.show(session, (GpuNode, Claim), source, watch)


@grouped
def list_nodes(
    context: typer.Context,
    *,
    listed: ListOptions,
    labels: options.Selector = None,
    watch: options.Watch = False,
) -> None:
    """List nodes, their GPUs and what is allocated."""
    session = sessions.of(context)
    write(session, listed.view(session), labels, watch)


def set_node(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NODE]", help="Which node; the only one by default.", autocompletion=completion.nodes),
    ] = None,
    dynamic_mig: Annotated[
        str, typer.Option("--dynamic-mig", metavar="on|off", help="MIG mode of the node's GPUs.")
    ] = "",
) -> None:
    """Switch a node's dynamic MIG on or off.

    A GPU that is in use is refused, and then nothing is changed (exit code 4). Ampere GPUs wait for a reset.
    """
    if dynamic_mig not in ("on", "off"):
        said = f"--dynamic-mig {dynamic_mig} is neither on nor off" if dynamic_mig else "say what to set"
        raise usage(said, hint="migctl node set NODE --dynamic-mig on, or off")
    session = sessions.of(context)
    node, answer = session.run(lambda control: _switch(control, name, dynamic_mig == "on"))
    if answer.outcome == "refused":
        raise Failure(
            f"dynamic MIG of node {node} was not switched {dynamic_mig}", cause=answer.message, code=ExitCode.CONFLICT
        )
    print(f"Dynamic MIG of node {node} is {dynamic_mig}" + ("" if answer.outcome == "done" else ": not yet"))
    if answer.message:
        sessions.note(answer.message)


async def _switch(control: Control, name: str | None, on: bool) -> tuple[str, DynamicMig]:
    """Write the desired mode and wait for the agent's answer; a mode that was refused or not answered is taken back."""
    node = await _node(control, name)
    name = node.meta.name
    if not node.status.ready:
        why = f"{node.status.message or 'its agent does not report'}, and only the agent can switch the mode"
        raise Failure(
            f"node {name} is not ready", cause=why, hint="nothing was changed; migctl node list", code=ExitCode.CONFLICT
        )
    answers: list[DynamicMig] = []

    async def answered_before() -> bool:
        """Whether the answer to an earlier desired mode, which was taken back, still stands."""
        now = await control.get(GpuNode, name)
        return _answers(now, on) and now.spec.dynamic_mig != on

    async def unanswered() -> bool:
        now = await control.get(GpuNode, name)
        answers[:] = [now.status.dynamic_mig] if now.status.dynamic_mig is not None and _answers(now, on) else []
        return not answers

    await _until_not(control, name, answered_before)
    await control.patch(node, {"spec": {"dynamicMig": on}})
    try:
        await _until_not(control, name, unanswered)
    finally:
        if not answers or answers[0].outcome == "refused":
            await control.patch(node, {"spec": {"dynamicMig": node.spec.dynamic_mig}})
    return name, answers[0]


def _answers(node: GpuNode, on: bool) -> bool:
    return node.status.dynamic_mig is not None and node.status.dynamic_mig.wanted == on


async def _until_not(control: Control, name: str, holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something of a node holds no more. A Failure where that takes too long."""
    if not await holds():
        return
    try:
        async with asyncio.timeout(SWITCH_S):
            await watching.follow(control, (GpuNode,), holds)
    except TimeoutError:
        cause = "the wish was taken back; a switch that had begun may still be carried out"
        hint = "migctl node list shows the mode, and migctl doctor what keeps the agent busy"
        said = f"node {name} has not answered in {SWITCH_S:g} s"
        raise Failure(said, cause=cause, hint=hint, code=ExitCode.TIMEOUT) from None


async def _node(control: Control, name: str | None) -> GpuNode:
    nodes = {node.meta.name: node for node in (await control.list(GpuNode)).items}
    known = f"nodes: {', '.join(sorted(nodes))}"
    if name is None and len(nodes) != 1:
        raise usage("there are several nodes: name one", hint=known)
    found = nodes.get(names.plain(name, "node", "nodes") if name is not None else next(iter(nodes)))
    if found is None:
        raise not_found(f"no node is called {name!r}", hint=known)
    return found


app = typer.Typer(cls=HelpGroup, help="Nodes and their GPUs.", **APP_SETTINGS)
app.callback()(lambda: None)
app.command("list")(list_nodes)
app.command("set")(set_node)
