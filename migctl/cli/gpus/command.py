"""`gpus`: the map as text (live with -w), as JSON, YAML or names, and as SVG."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import not_found, usage
from migctl.cli.gpus import picture
from migctl.cli.grammar import completion, options
from migctl.cli.output import formats, terminal, watching
from migctl.gpu_map import fleet
from migctl.gpu_map.fleet import Fleet, SeenGpu
from migctl.gpu_map.gpu_blocks import NOBODYS, Block, blocks, free
from migctl.objects import API_VERSION, Claim, GpuNode

REDRAW_S = 1.0
NARROW = 80


class MapFormat(StrEnum):
    """The values of -o: the usual ones, and SVG."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    SVG = "svg"


def gpus(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NODE|NODE/INDEX|UUID]...", help="Only these.", show_default=False, autocompletion=completion.gpus
        ),
    ] = None,
    output: Annotated[
        MapFormat | None, typer.Option("-o", "--output", help="How to write it; wide: with UUIDs.")
    ] = None,
    watch: options.Watch = False,
) -> None:
    """Show a map of every GPU, live with -w.

    Instances and shares, who holds them, what is idle and what is free.
    """
    session = sessions.of(context)
    chosen = session.setting("output", output) or MapFormat.TABLE
    if chosen not in list(MapFormat):
        raise usage(f"no output is called {chosen!r}", hint=f"one of {', '.join(MapFormat)}")
    format = MapFormat(chosen)

    async def shown(control: Control) -> None:
        async def look() -> bool:
            seen = await fleet.read(control)
            _write(select(seen, names or ()), seen, format)
            return True

        if watch and format in (MapFormat.TABLE, MapFormat.WIDE) and sys.stdout.isatty():
            await _live(control, names or (), format)
        elif watch:
            await watching.follow(control, (GpuNode, Claim), look)
        else:
            await look()

    session.run(shown)


def select(seen: Fleet, names: Sequence[str]) -> list[SeenGpu]:
    """The GPUs meant by node, node/index, GPU UUID or MIG UUID; all without names."""
    for name in names:
        if not any(name in _called(gpu) for gpu in seen.gpus):
            known = ", ".join(gpu.name for gpu in seen.gpus)
            raise not_found(f"no GPU or node is called {name!r}", hint=f"GPUs: {known or 'none'}")
    return [gpu for gpu in seen.gpus if not names or not _called(gpu).isdisjoint(names)]


def _called(seen: SeenGpu) -> set[str | None]:
    return {seen.gpu.node, seen.name, seen.gpu.uuid, *(instance.uuid for instance in seen.gpu.instances)}


def _write(row: Sequence[SeenGpu], seen: Fleet, format: MapFormat) -> None:
    if format in (MapFormat.JSON, MapFormat.YAML):
        formats.write(document(row, seen), formats.Format(format))
    elif format is MapFormat.NAME:
        print(*(f"gpu/{gpu.name}" for gpu in row), sep="\n")
    elif format is MapFormat.SVG:
        print(svg(row, seen))
    elif not row:
        sessions.note("no GPUs: no node has reported any")
    else:
        terminal.write(picture.lines(row, seen, _width(), format is MapFormat.WIDE))


def _width() -> int:
    return terminal.columns() if sys.stdout.isatty() else NARROW


async def _live(control: Control, names: Sequence[str], format: MapFormat) -> None:
    from migctl.cli.output.redrawn import RedrawnPicture

    with RedrawnPicture(whole_screen=True) as drawn:

        async def draw() -> bool:
            seen = await fleet.read(control)
            drawn.draw(picture.lines(select(seen, names), seen, _width(), format is MapFormat.WIDE))
            return True

        await watching.follow(control, (GpuNode, Claim), draw, every=REDRAW_S)


def svg(row: Sequence[SeenGpu], seen: Fleet) -> str:
    """The map as an SVG picture that needs no font from elsewhere."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console

    from migctl.cli.output.redrawn import as_text

    recorder = Console(record=True, width=NARROW + 1, file=io.StringIO(), force_terminal=True, highlight=False)
    recorder.print(as_text(picture.lines(row, seen, NARROW, False)))
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return recorder.export_svg(title="migctl gpus", code_format=form, unique_id="migctl")


def document(row: Sequence[SeenGpu], seen: Fleet) -> dict[str, Any]:
    """The map for machines."""
    nodes = {gpu.node.meta.name: gpu.node for gpu in row}
    notes = [
        {"node": name, "about": about, "text": text} for name, node in nodes.items() for about, text in seen.notes(node)
    ]
    return {"apiVersion": API_VERSION, "kind": "GpuMap", "gpus": [_gpu(gpu, seen) for gpu in row], "notes": notes}


def _gpu(seen: SeenGpu, whole: Fleet) -> dict[str, Any]:
    gpu = seen.gpu
    return {
        "gpu": seen.name,
        "uuid": gpu.uuid,
        "node": gpu.node,
        "index": gpu.index,
        "model": seen.model.id,
        "memoryMib": gpu.memory_mib,
        "mig": gpu.mig,
        "units": seen.model.units if gpu.mig else 0,
        "used": round(seen.used, 3),
        "free": round(free(seen), 3),
        "fenced": gpu.fenced,
        "ready": seen.node.status.ready,
        "cordoned": seen.node.spec.cordoned,
        "blocks": [_block(block) for block in blocks(seen, whole)],
    }


def _block(block: Block) -> dict[str, Any]:
    """A block without what does not apply to it."""
    facts = {
        "state": block.state.value,
        "size": block.size,
        "title": block.title if block.state not in NOBODYS else "",
        "workload": block.holder,
        "project": block.project,
        "start": block.start,
        "uuid": block.uuid,
        "whole": block.whole,
    }
    return {name: value for name, value in facts.items() if value is not None and value != "" and value is not False}
