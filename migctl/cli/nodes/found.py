"""The nodes that commands name."""

from __future__ import annotations

from collections.abc import Sequence

from migctl.cli import names
from migctl.cli.contexts.control import Control
from migctl.cli.failures import not_found, usage
from migctl.objects import GpuNode


async def node(control: Control, word: str | None) -> GpuNode:
    """The node of a name, or without one the only node there is. Raises Failure."""
    there = await _there(control)
    if word is None and len(there) != 1:
        raise usage("there are several nodes: name one", hint=_known(there)) if there else not_found("there is no node")
    return _one(there, next(iter(there)) if word is None else word)


async def nodes(control: Control, words: Sequence[str]) -> list[GpuNode]:
    """The nodes of these names, each once. Raises Failure before anything is done with any of them."""
    there = await _there(control)
    return list({found.meta.name: found for found in (_one(there, word) for word in words)}.values())


async def _there(control: Control) -> dict[str, GpuNode]:
    return {node.meta.name: node for node in (await control.list(GpuNode)).items}


def _one(there: dict[str, GpuNode], word: str) -> GpuNode:
    found = there.get(names.plain(word, "node", "nodes"))
    if found is None:
        raise not_found(f"no node is called {word!r}", hint=_known(there))
    return found


def _known(there: dict[str, GpuNode]) -> str:
    return f"nodes: {', '.join(sorted(there)) or 'none'}"
