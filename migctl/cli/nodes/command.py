"""The commands about nodes."""

from __future__ import annotations

from typing import ClassVar

import typer

from migctl.cli.grammar.lazy_groups import APP_SETTINGS, Lazy, LazyGroup


class NodeCommands(LazyGroup):
    """What can be done with nodes."""

    table: ClassVar[dict[str, dict[str, Lazy]]] = {
        "Commands": {
            "list": Lazy("migctl.cli.nodes.listing:list_nodes", "List nodes, their GPUs and what is allocated."),
            "describe": Lazy("migctl.cli.nodes.describe:describe", "Show everything about a node."),
            "set": Lazy("migctl.cli.nodes.setting:set_node", "Set a node's pool, labels or MIG mode."),
            "cordon": Lazy("migctl.cli.nodes.cordon:cordon", "Keep new work off nodes; what runs goes on."),
            "drain": Lazy("migctl.cli.nodes.drain:drain", "Cordon a node, and stop what runs there."),
            "uncordon": Lazy("migctl.cli.nodes.cordon:uncordon", "Let new work onto nodes again."),
        }
    }


app = typer.Typer(cls=NodeCommands, help="Nodes and their GPUs.", **APP_SETTINGS)
app.callback(help="Nodes and their GPUs.")(lambda: None)
