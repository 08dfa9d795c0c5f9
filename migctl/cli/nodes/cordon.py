"""`node cordon` and `node uncordon`, as kubectl has them."""

from __future__ import annotations

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.nodes import found
from migctl.cli.session import Session
from migctl.objects import GpuNode


def cordon(context: typer.Context, names: options.NodeNames) -> None:
    """Keep new work off nodes; what runs goes on.

    What waits says so where a cordoned node could serve it. On a cluster it is the Node that is cordoned, for all pods.
    """
    _set(sessions.of(context), names, True)


def uncordon(context: typer.Context, names: options.NodeNames) -> None:
    """Let new work onto nodes again."""
    _set(sessions.of(context), names, False)


async def set_cordoned(control: Control, node: GpuNode, cordoned: bool) -> bool:
    """Cordon a node or take it back; whether that changed anything."""
    if node.spec.cordoned == cordoned:
        return False
    await control.patch(node, {"spec": {"cordoned": cordoned}})
    return True


def _set(session: Session, words: list[str], cordoned: bool) -> None:
    async def each(control: Control) -> list[tuple[str, bool]]:
        nodes = await found.nodes(control, words)
        return [(node.meta.name, await set_cordoned(control, node, cordoned)) for node in nodes]

    done = "cordoned" if cordoned else "uncordoned"
    for name, changed in session.run(each):
        print(f"node {name} {done}" if changed else f"node {name} already {done}")
