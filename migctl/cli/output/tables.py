"""Tables: UPPERCASE headers, no borders, nothing cut short off a terminal.

A Column defines a row's cell and its sort key; rich draws it and chooses the width.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from migctl import quantities
from migctl.cli.failures import usage

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

Row = TypeVar("Row")

UNBOUNDED = 100_000
GAP = 3


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column.

    cell   what a row shows
    key    what it sorts by (its text, where that is right)
    wide   shown by -o wide only
    long   holds sentences, which wrap where the terminal is narrow
    style  colour of a row's cell; never the only carrier of a meaning
    """

    header: str
    cell: Callable[[Row], str]
    key: Callable[[Row], Any] | None = None
    wide: bool = False
    long: bool = False
    style: Callable[[Row], str] | None = None

    def sort_key(self, row: Row) -> Any:
        """What a row sorts by."""
        return self.key(row) if self.key else self.cell(row)


def console(stderr: bool = False) -> Console:
    """The terminal, or a file of unlimited width. Colour only on terminals, and never with NO_COLOR."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNBOUNDED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def sort(rows: Sequence[Row], columns: Iterable[Column[Row]], by: str | None) -> list[Row]:
    """Rows by the named column (in any case), or as they came. Equal ones keep their order."""
    if by is None:
        return list(rows)
    chosen = {column.header.lower(): column for column in columns}.get(by.lower())
    if chosen is None:
        names = ", ".join(repr(column.header) for column in columns)
        raise usage(f"no column is called {by!r}", hint=f"columns: {names}")
    return sorted(rows, key=chosen.sort_key)


def shown(columns: Iterable[Column[Row]], wide: bool) -> list[Column[Row]]:
    """The columns that -o table, or -o wide, shows."""
    return [column for column in columns if wide or not column.wide]


def table(
    rows: Iterable[Row], columns: Sequence[Column[Row]], *, headers: bool = True, width: int | None = None
) -> Table:
    """The rows drawn. Where they are wider than `width`, headers break into lines and gaps narrow first."""
    from rich.table import Table
    from rich.text import Text

    cells = [
        [Text(column.cell(row), style=column.style(row) if column.style else "") for column in columns] for row in rows
    ]
    names = [column.header for column in columns]
    room = (console().width if width is None else width) - GAP * (len(columns) - 1)
    tight = sum(max(map(len, column)) for column in zip(names, *cells, strict=True)) > room
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP - tight, 0, 0), show_header=headers, header_style="bold")
    for column in columns:
        header = column.header.replace(" ", "\n") if tight else column.header
        drawn.add_column(header, no_wrap=not column.long, overflow="fold" if column.long else "ellipsis")
    for row in cells:
        drawn.add_row(*row)
    return drawn


def facts(*pairs: tuple[str, str]) -> None:
    """`Name:  value` lines on stdout; facts that are empty are left out."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 3, 0, 0))
    for name, value in pairs:
        if value:
            grid.add_row(f"{name}:", Text(value))
    show(grid)


def section(title: str, drawn: RenderableType) -> None:
    """A title and something below it, on stdout."""
    from rich.padding import Padding

    show(f"{title}:", Padding(drawn, (0, 0, 0, 2)))


def show(*drawn: RenderableType) -> None:
    """Draw on stdout, without blanks at the ends of lines.

    What cannot be made as narrow as the terminal is drawn as wide as it is: the terminal wraps it, nothing is lost.
    """
    from rich.measure import Measurement

    terminal = console()
    unbounded = terminal.options.update(max_width=UNBOUNDED)
    terminal.width = max(terminal.width, *(Measurement.get(terminal, unbounded, part).minimum for part in drawn))
    with terminal.capture() as capture:
        terminal.print(*drawn, sep="\n")
    print(*(line.rstrip() for line in capture.get().splitlines()), sep="\n")


def age_of(created: datetime | None, now: Callable[[], datetime]) -> str:
    """How old something is, "" where that is not known."""
    return "" if created is None else quantities.age_text((now() - created).total_seconds())


def age_column(
    created: Callable[[Row], datetime | None], now: Callable[[], datetime], *, wide: bool = False
) -> Column[Row]:
    """AGE, which sorts the youngest first."""

    def key(row: Row) -> float:
        moment = created(row)
        return -moment.timestamp() if moment else 0.0

    return Column("AGE", lambda row: age_of(created(row), now), key=key, wide=wide)
