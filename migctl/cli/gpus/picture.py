"""A GPU drawn as a line of facts over a row of boxes.

    node-b/0  A100-40GB  MIG  0.571 used  0.429 free
    ┌2g.10gb─────────┐┌2g.10gb─────────┐┌╌2g.10gb╌╌╌╌╌╌╌╌┐
    │mem             ││p1              │╎idle            ╎    ·        ·
    └────────────────┘└────────────────┘└╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┘

Borders tell the state without colour: plain is held, dashed is idle or coming, double is not ours, heavy is a
whole GPU. What does not fit into its box is written out below it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from migctl import quantities
from migctl.cli.views.fleet import Fleet, SeenGpu
from migctl.cli.views.gpu_blocks import Block, BlockState, blocks, free

NARROWEST = 3
WIDEST = 144


@dataclass(frozen=True)
class Border:
    """Characters of a box: corners from the top left, horizontal, vertical; what fills it."""

    corners: tuple[str, str, str, str]
    horizontal: str
    vertical: str
    fill: str = " "


PLAIN = Border(("┌", "┐", "└", "┘"), "─", "│")
DASHED = Border(("┌", "┐", "└", "┘"), "╌", "╎")
DOUBLE = Border(("╔", "╗", "╚", "╝"), "═", "║")
HEAVY = Border(("┏", "┓", "┗", "┛"), "━", "┃", "▒")

BORDERS = {
    BlockState.BUSY: PLAIN,
    BlockState.STARTING: DASHED,
    BlockState.LEAVING: DASHED,
    BlockState.IDLE: DASHED,
    BlockState.FOREIGN: DOUBLE,
    BlockState.QUARANTINED: DOUBLE,
}
STYLES = {
    BlockState.STARTING: "cyan",
    BlockState.LEAVING: "yellow",
    BlockState.IDLE: "dim",
    BlockState.FOREIGN: "magenta",
    BlockState.QUARANTINED: "bold red",
    BlockState.FREE: "dim",
}
HOLDERS = ("green", "cyan", "blue", "bright_green", "bright_cyan", "bright_blue", "yellow", "bright_magenta")


def draw(seen: SeenGpu, fleet: Fleet, width: int, details: bool = False) -> list[Text]:
    """The GPU in at most `width` columns. details: write every block out below the picture."""
    row = blocks(seen, fleet)
    widths = share_out([block.size for block in row], min(width, WIDEST), equal=seen.gpu.mig)
    lines = [_headline(seen)]
    lines += [Text.assemble(*parts) for parts in zip(*map(_box, row, widths), strict=True)]
    lines += [
        _detail(block)
        for block, room in zip(row, widths, strict=True)
        if block.state is not BlockState.FREE and (details or not _fits(block, room))
    ]
    return lines


def share_out(sizes: Sequence[int], width: int, equal: bool) -> list[int]:
    """Columns for blocks of these sizes. equal: every unit of size gets the same number of columns.

    Otherwise in proportion, by largest remainder, and none below the narrowest box.
    """
    total = sum(sizes)
    if equal:
        return [size * max(1, width // total) for size in sizes]
    room = width - NARROWEST * len(sizes)
    exact = [size * room / total for size in sizes]
    columns = [int(part) for part in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda i: columns[i] - exact[i])
    for i in by_remainder[: room - sum(columns)]:
        columns[i] += 1
    return [NARROWEST + part for part in columns]


def _headline(seen: SeenGpu) -> Text:
    gpu = seen.gpu
    line = Text.assemble(
        (seen.name, "bold"),
        f"  {seen.model.id}",
        "  MIG" if gpu.mig else f"  {quantities.memory_text(gpu.memory_mib)}",
        f"  {quantities.gpus_text(seen.used)} used  {quantities.gpus_text(free(seen))} free",
    )
    if not seen.node.status.ready:
        line.append("  node not ready", "bold red")
    if gpu.fenced:
        line.append(f"  fenced: {gpu.fenced}", "bold red")
    return line


def _box(block: Block, width: int) -> tuple[Text, Text, Text]:
    if block.state is BlockState.FREE:
        return _free(block, width)
    border = HEAVY if block.whole else BORDERS[block.state]
    top_left, top_right, bottom_left, bottom_right = border.corners
    inside = width - 2
    label = set_cell_size(cut(block.label, inside), inside)
    if border.fill != " " and len(label.rstrip()) < inside:
        label = label.rstrip() + " " + border.fill * (inside - cell_len(label.rstrip()) - 1)
    title = cut(block.title, inside)
    style = _style(block)
    return (
        Text(top_left + title + border.horizontal * (inside - cell_len(title)) + top_right, style),
        Text(border.vertical + label + border.vertical, style),
        Text(bottom_left + border.horizontal * inside + bottom_right, style),
    )


def _free(block: Block, width: int) -> tuple[Text, Text, Text]:
    """Dots: one for a free unit; a row of them, and how much there is, for free memory."""
    words = f" {block.title} free " if block.title else "·"
    around = max(0, width - cell_len(words)) // 4 * 2 if block.title else 0
    dots = "· " * (around // 2)
    line = f"{dots}{words}{dots}".center(width) if cell_len(words) <= width else "· " * (width // 2)
    return Text(" " * width), Text(set_cell_size(line, width), STYLES[BlockState.FREE]), Text(" " * width)


def _style(block: Block) -> str:
    if block.state is BlockState.BUSY:
        return HOLDERS[zlib.crc32(f"{block.project}/{block.holder}".encode()) % len(HOLDERS)]
    return STYLES[block.state]


def cut(text: str, width: int) -> str:
    """The text, or as much of it as fits with a sign that there is more."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"[: max(0, width)]


def _fits(block: Block, width: int) -> bool:
    return max(cell_len(block.title), cell_len(block.label)) <= width - 2


def _detail(block: Block) -> Text:
    position = f"unit {block.start}: " if block.start is not None else ""
    holder = f"{block.project}/{block.label}" if block.project else block.label
    return Text(f"  {position}{block.title}  {holder}" + (f"  {block.uuid}" if block.uuid else ""))


def summary(row: Sequence[SeenGpu], fleet: Fleet) -> Text:
    """One line on all of them."""
    idle = sum(block.state is BlockState.IDLE for seen in row for block in blocks(seen, fleet))
    text = (
        f"{len(row)} GPU{'s' if len(row) != 1 else ''}: {quantities.gpus_text(sum(seen.used for seen in row))} used, "
    )
    text += f"{quantities.gpus_text(sum(free(seen) for seen in row))} free"
    return Text(text + (f", {idle} idle instance{'s' if idle != 1 else ''}" if idle else ""))


def lines(row: Sequence[SeenGpu], fleet: Fleet, width: int, details: bool = False) -> Iterator[Text]:
    """Every GPU and the summary."""
    for seen in row:
        yield from draw(seen, fleet, width, details)
    yield summary(row, fleet)
