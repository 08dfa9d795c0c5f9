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

from migctl import quantities
from migctl.cli.output import terminal
from migctl.cli.output.terminal import Line, Piece, plain
from migctl.gpu_map.fleet import Fleet, SeenGpu
from migctl.gpu_map.gpu_blocks import NOBODYS, Block, BlockState, blocks, closed, free

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
    BlockState.CLOSED: "dim red",
}
HOLDERS = ("green", "cyan", "blue", "bright_green", "bright_cyan", "bright_blue", "yellow", "bright_magenta")


def draw(seen: SeenGpu, fleet: Fleet, width: int, details: bool = False) -> list[Line]:
    """The GPU in at most `width` columns. details: write every block out below the picture."""
    row = blocks(seen, fleet)
    widths = share_out([block.size for block in row], min(width, WIDEST), equal=seen.gpu.mig)
    lines = list(_headline(seen, width))
    lines += zip(*map(_box, row, widths), strict=True)
    for block, room in zip(row, widths, strict=True):
        if block.state not in NOBODYS and (details or not _fits(block, room)):
            lines += _detail(block, width)
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


def _headline(seen: SeenGpu, width: int) -> Iterator[Line]:
    """What it is and how much of it is used; what is wrong with it below, where it does not fit beside."""
    gpu = seen.gpu
    facts = (
        f"  {seen.model.id}"
        + ("  MIG" if gpu.mig else f"  {quantities.memory_text(gpu.memory_mib)}")
        + f"  {quantities.gpus_text(seen.used)} used  {quantities.gpus_text(free(seen))} free"
    )
    line: Line = ((seen.name, "bold"), (facts, ""))
    if cell_len(terminal.text_of(line)) > width:
        yield ((terminal.cut(seen.name, width), "bold"),)
        line = plain(facts)
    wrong = closed(seen)
    beside = "".join(f"  {text}" for text in wrong)
    if cell_len(terminal.text_of(line) + beside) <= width:
        yield (*line, (terminal.clean(beside), "bold red"))
        return
    yield line
    for text in wrong:
        yield from (((f"  {piece}", "bold red"),) for piece in terminal.wrapped(text, width - 2))


def _box(block: Block, width: int) -> tuple[Piece, Piece, Piece]:
    if block.state in NOBODYS:
        return _unheld(block, width)
    border = HEAVY if block.whole else BORDERS[block.state]
    top_left, top_right, bottom_left, bottom_right = border.corners
    inside = width - 2
    label = set_cell_size(terminal.cut(block.label, inside), inside)
    if border.fill != " " and len(label.rstrip()) < inside:
        label = label.rstrip() + " " + border.fill * (inside - cell_len(label.rstrip()) - 1)
    title = terminal.cut(block.title, inside)
    style = _style(block)
    return (
        (top_left + title + border.horizontal * (inside - cell_len(title)) + top_right, style),
        (border.vertical + label + border.vertical, style),
        (bottom_left + border.horizontal * inside + bottom_right, style),
    )


def _unheld(block: Block, width: int) -> tuple[Piece, Piece, Piece]:
    """Dots: one for a free unit; a row of them, and how much there is, for free memory. Crosses where it is closed."""
    mark = "·" if block.state is BlockState.FREE else "x"
    words = f" {block.title} {block.state} " if block.title else mark
    around = max(0, width - cell_len(words)) // 4 * 2 if block.title else 0
    marks = f"{mark} " * (around // 2)
    line = f"{marks}{words}{marks}".center(width) if cell_len(words) <= width else f"{mark} " * (width // 2)
    blank = (" " * width, "")
    return blank, (set_cell_size(line, width), STYLES[block.state]), blank


def _style(block: Block) -> str:
    if block.state is BlockState.BUSY:
        return HOLDERS[zlib.crc32(f"{block.project}/{block.holder}".encode()) % len(HOLDERS)]
    return STYLES[block.state]


def _fits(block: Block, width: int) -> bool:
    return max(cell_len(block.title), cell_len(block.label)) <= width - 2


def _detail(block: Block, width: int) -> Iterator[Line]:
    position = f"unit {block.start}: " if block.start is not None else ""
    holder = f"{block.project}/{block.label}" if block.project else block.label
    text = f"{position}{block.title}  {holder}" + (f"  {block.uuid}" if block.uuid else "")
    return (plain(f"  {line}") for line in terminal.wrapped(text, width - 2))


def summary(row: Sequence[SeenGpu], fleet: Fleet) -> Line:
    """One line on all of them."""
    idle = sum(block.state is BlockState.IDLE for seen in row for block in blocks(seen, fleet))
    text = (
        f"{len(row)} GPU{'s' if len(row) != 1 else ''}: {quantities.gpus_text(sum(seen.used for seen in row))} used, "
    )
    text += f"{quantities.gpus_text(sum(free(seen) for seen in row))} free"
    return plain(text + (f", {idle} idle instance{'s' if idle != 1 else ''}" if idle else ""))


def lines(row: Sequence[SeenGpu], fleet: Fleet, width: int, details: bool = False) -> Iterator[Line]:
    """Every GPU, the summary, and what the nodes' agents remark."""
    for seen in row:
        yield from draw(seen, fleet, width, details)
    yield summary(row, fleet)
    nodes = {seen.node.meta.name: seen.node for seen in row}
    for node in nodes.values():
        for about, text in fleet.notes(node):
            yield from (((line, "yellow"),) for line in terminal.wrapped(f"note: {about}: {text}", width))
