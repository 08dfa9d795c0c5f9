"""`node-pool list|create|set|delete`: nodes that quotas and requests can name together, and how they are filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from migctl import node_pools, quantities
from migctl.backends.protocol import AlreadyExists
from migctl.cli import names
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, not_found, usage
from migctl.cli.grammar import completion, options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.output import watching
from migctl.cli.output.listings import TableKind, view, write_one
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import TableSource
from migctl.cli.session import Session
from migctl.gpu_map import fleet
from migctl.gpu_map.fleet import SeenGpu
from migctl.objects import Claim, GpuNode, Meta, NodePool, NodePoolSpec
from nodeagent.contract.wire import camel_case
from solver.model.cluster import DEFAULT_POOL
from solver.model.snapshot import MemoryRule, Spreading

Label = Annotated[
    str | None, typer.Option("--label", metavar="KEY=VALUE", help="Nodes with this label are in the pool.")
]
Placement = Annotated[
    Spreading | None,
    typer.Option("--placement", help="Fill one node after another, or the emptiest first.", case_sensitive=False),
]
InstanceRule = Annotated[
    MemoryRule | None,
    typer.Option(
        "--memory-rule",
        help="Which MIG instance serves a request for memory or a fraction where two have that memory: with compute in "
        "proportion (2g.10gb), or with as little as possible (1g.10gb).",
        case_sensitive=False,
    ),
]
PoolName = Annotated[str, typer.Argument(metavar="NAME", show_default=False, autocompletion=completion.node_pools)]
LABEL_HINT = "--label gpu=a100"


@dataclass(frozen=True)
class PoolRow:
    """A node pool, its nodes and their GPUs. A pool that only nodes name has no object, and the defaults."""

    pool: NodePool
    nodes: tuple[GpuNode, ...]
    gpus: tuple[SeenGpu, ...]

    @property
    def label(self) -> str:
        """The label of its nodes, "" where they name it themselves."""
        spec = self.pool.spec
        return f"{spec.label_key}={spec.label_value}" if spec.label_key else ""

    @property
    def allocated(self) -> float:
        """What is allocated of its GPUs, in GPUs of the quota currency."""
        return sum(seen.used for seen in self.gpus)


def table(session: Session) -> TableKind[PoolRow]:
    """The table of node pools."""
    return TableKind(
        "NodePool",
        (
            Column("NAME", lambda row: row.pool.meta.name),
            Column("LABEL", lambda row: row.label, drop=2),
            Column("PLACEMENT", lambda row: row.pool.spec.placement.value),
            Column("MEMORY RULE", lambda row: row.pool.spec.memory_rule.value, drop=1),
            Column("NODES", lambda row: str(len(row.nodes)), key=lambda row: len(row.nodes)),
            Column("GPUs", lambda row: str(len(row.gpus)), key=lambda row: len(row.gpus)),
            Column("ALLOCATED", lambda row: quantities.portion_text(row.allocated), key=lambda row: row.allocated),
            age_column(lambda row: row.pool.meta.created, session.system.now, wide=True, drop=3),
        ),
        lambda row: row.pool,
        lambda row: {
            "nodes": [node.meta.name for node in row.nodes],
            "gpus": len(row.gpus),
            "allocated": round(row.allocated, 3),
        },
    )


app = typer.Typer(cls=HelpGroup, help="Node pools: nodes with quotas of their own.", **APP_SETTINGS)


@app.command("list")
@grouped
def list_pools(context: typer.Context, *, listed: ListOptions, watch: options.Watch = False) -> None:
    """List node pools, their nodes and how they are filled."""
    session = sessions.of(context)
    shown = listed.view(session)

    async def source(control: Control) -> TableSource[PoolRow]:
        return TableSource(table(session), shown, lambda: _rows(control), empty="no node pools: there is no node")

    watching.show(session, (GpuNode, NodePool, Claim), source, watch)


async def _rows(control: Control) -> list[PoolRow]:
    seen, stored = await fleet.read(control), (await control.list(NodePool)).items
    of = {node.meta.name: seen.pool_of(node) for node in seen.nodes}
    made = {pool.meta.name: pool for pool in stored}
    return [
        PoolRow(
            made.get(name) or NodePool(meta=Meta(name=name)),
            tuple(node for node in seen.nodes if of[node.meta.name] == name),
            tuple(gpu for gpu in seen.gpus if of[gpu.node.meta.name] == name),
        )
        for name in sorted(node_pools.names(seen.nodes, stored))
    ]


@app.command("create")
def create(
    context: typer.Context,
    name: options.NewName,
    label: Label = None,
    placement: Placement = None,
    memory_rule: InstanceRule = None,
    output: options.Output = None,
) -> None:
    """Create a node pool.

    With a label its nodes are those that have it; without, those that name it: migctl node set NODE --node-pool NAME.
    """
    session = sessions.of(context)
    spec = NodePoolSpec(**_label(label), **_rules(placement, memory_rule))

    async def created(control: Control) -> NodePool:
        try:
            return await control.create(NodePool(meta=Meta(name=name), spec=spec))
        except AlreadyExists:
            hint = f"migctl node-pool set {name} --placement spread"
            raise Failure(f"there is a node pool {name!r} already", hint=hint, code=ExitCode.CONFLICT) from None

    made = session.run(created)
    write_one(made, view(session, output), lambda: print(f"Created node pool {name}"))
    if not label:
        sessions.note(f"next: migctl node set NODE --node-pool {name}")


@app.command("set")
def set_pool(
    context: typer.Context,
    name: PoolName,
    label: Label = None,
    no_label: Annotated[bool, typer.Option("--no-label", help="Its nodes are those that name it.")] = False,
    placement: Placement = None,
    memory_rule: InstanceRule = None,
    output: options.Output = None,
) -> None:
    """Change a node pool's label, placement or memory rule.

    What runs stays where it is; the next decision goes by the new rule.
    """
    if label and no_label:
        raise usage("--label and --no-label exclude each other", hint=LABEL_HINT)
    if not (label or no_label or placement or memory_rule):
        hint = "--placement spread, --memory-rule least-compute, --label KEY=VALUE or --no-label"
        raise usage("nothing to set", hint=hint)
    session = sessions.of(context)
    labels = {"label_key": "", "label_value": ""} if no_label else _label(label)
    wanted: dict[str, Any] = {**labels, **_rules(placement, memory_rule)}

    async def changed(control: Control) -> NodePool:
        pool = await _pool(control, name)
        if not pool.meta.uid:
            return await control.create(NodePool(meta=Meta(name=pool.meta.name), spec=NodePoolSpec(**wanted)))
        return await control.patch(pool, {"spec": {camel_case(field): value for field, value in wanted.items()}})

    made = session.run(changed)
    write_one(made, view(session, output), lambda: print(f"Updated node pool {made.meta.name}"))


@app.command("delete")
def delete(context: typer.Context, name: PoolName) -> None:
    """Delete a node pool; one that nodes or quotas name stays."""
    session = sessions.of(context)

    async def deleted(control: Control) -> str:
        pool = await _pool(control, name)
        await control.delete(pool)
        return pool.meta.name

    print(f"Deleted node pool {session.run(deleted)}")


async def _pool(control: Control, word: str) -> NodePool:
    """The pool of a name; without uid where only nodes name it. A Failure that lists those there are."""
    name = names.plain(word, "nodepool", "nodepools", "node-pool")
    there = {row.pool.meta.name: row.pool for row in await _rows(control)}
    if name == DEFAULT_POOL:
        return there.get(name) or NodePool(meta=Meta(name=name))
    if name not in there:
        raise not_found(f"no node pool is called {name!r}", hint=f"node pools: {', '.join(sorted(there)) or 'none'}")
    return there[name]


def _rules(placement: Spreading | None, memory_rule: MemoryRule | None) -> dict[str, Any]:
    """The fields of the rules that are given."""
    given = {"placement": placement, "memory_rule": memory_rule}
    return {field: rule for field, rule in given.items() if rule}


def _label(text: str | None) -> dict[str, Any]:
    """The fields of a label KEY=VALUE; none of no label."""
    if text is None:
        return {}
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise usage(f"--label {text!r} is no label", hint=LABEL_HINT)
    return {"label_key": key, "label_value": value}
