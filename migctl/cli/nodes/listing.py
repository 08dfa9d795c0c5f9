"""`node list` and `list nodes`: the machines, their GPUs and what is allocated of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import typer

from migctl import quantities
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.grammar.selectors import selector
from migctl.cli.output import watching
from migctl.cli.output.listings import OutputOptions, TableKind
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import TableSource
from migctl.cli.session import Session
from migctl.gpu_map import fleet
from migctl.gpu_map.fleet import Fleet, SeenGpu
from migctl.objects import Claim, GpuNode


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
            Column("POOL", lambda row: row.fleet.pool_of(row.node), drop=2),
            Column("GPU TYPE", lambda row: row.types, drop=1),
            Column("MIG", lambda row: row.mig),
            Column("GPUs", lambda row: str(len(row.gpus)), key=lambda row: len(row.gpus)),
            Column("ALLOCATED", lambda row: quantities.portion_text(row.allocated), key=lambda row: row.allocated),
            age_column(lambda row: row.node.meta.created, now, drop=3),
            Column("DRIVER", lambda row: row.driver, wide=True, drop=4),
            Column("MESSAGE", lambda row: "; ".join(row.remarks), long=True),
        ),
        lambda row: row.node,
        lambda row: {
            "gpus": len(row.gpus),
            "allocated": round(row.allocated, 3),
            "pool": row.fleet.pool_of(row.node),
            "remarks": list(row.remarks),
        },
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
