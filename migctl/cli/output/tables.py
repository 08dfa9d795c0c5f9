"""Tables: UPPERCASE headers, no borders, nothing cut short off a terminal.

A Column defines a row's cell, its sort key and how it gives way on a narrow terminal (layout).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from rich.cells import cell_len

from migctl import quantities
from migctl.cli.failures import usage
from migctl.cli.output import layout, terminal
from migctl.cli.output.layout import GAP, Layout, Strip
from migctl.cli.output.terminal import Line

Row = TypeVar("Row")

INDENT = 2


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column.

    cell   what a row shows
    key    what it sorts by (its text, where that is right)
    wide   shown by -o wide only
    long   holds sentences, which go below the row where the terminal is narrow
    brief  heading where the terminal is narrow, "" for the same
    drop   0: stays on a narrow terminal; otherwise the highest goes first
    style  of a row's cell
    """

    header: str
    cell: Callable[[Row], str]
    key: Callable[[Row], Any] | None = None
    wide: bool = False
    long: bool = False
    brief: str = ""
    drop: int = 0
    style: Callable[[Row], str] | None = None

    def sort_key(self, row: Row) -> Any:
        """What a row sorts by."""
        return self.key(row) if self.key else self.cell(row)


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
) -> list[Line]:
    """The rows drawn, in at most `width` columns; None: as wide as the terminal."""
    rows = list(rows)
    strips = [
        Strip(
            place,
            column.header if headers else "",
            [terminal.clean(column.cell(row)) for row in rows],
            column.brief if headers else "",
            column.drop,
            column.long,
        )
        for place, column in enumerate(columns)
    ]
    room = terminal.columns() if width is None else width
    drawn = layout.fit(strips, room)
    lines = [_line([(strip.heading, "bold") for strip in drawn.beside], drawn)] if headers else []
    for number, row in enumerate(rows):
        pieces = [(strip.texts[number], _style(columns[strip.place], row)) for strip in drawn.beside]
        lines += [_line(pieces, drawn), *_below(drawn.below, number, room)]
    return lines


def _style(column: Column[Row], row: Row) -> str:
    return column.style(row) if column.style else ""


def _line(pieces: Sequence[terminal.Piece], drawn: Layout) -> Line:
    padded = (
        (text + " " * (strip.width + drawn.gap - cell_len(text)), style)
        for (text, style), strip in zip(pieces, drawn.beside, strict=True)
    )
    return tuple(padded)


def _below(strips: Sequence[Strip], number: int, room: int) -> Iterator[Line]:
    """What a row says in sentences, each with its heading where there may be several."""
    for strip in strips:
        text = strip.texts[number]
        if text:
            named = f"{strip.heading.lower()}: {text}" if len(strips) > 1 else text
            yield from (terminal.plain(f"  {line}") for line in terminal.wrapped(named, room - 2))


def facts(*pairs: tuple[str, str]) -> None:
    """`Name:  value` lines on stdout; facts that are empty are left out. Long values go on below their beginning."""
    given = [(f"{name}:", value) for name, value in pairs if value]
    indent = max((len(name) for name, _ in given), default=0) + GAP
    for name, value in given:
        first, *more = terminal.wrapped(value, terminal.columns() - indent)
        terminal.write(terminal.plain(text) for text in (name.ljust(indent) + first, *(" " * indent + m for m in more)))


def section(title: str, rows: Iterable[Row], columns: Sequence[Column[Row]], none: str = "none") -> None:
    """A title and a table below it on stdout; `none` where it has no rows."""
    rows = list(rows)
    if rows:
        print(f"{title}:")
        drawn = table(rows, columns, width=terminal.columns() - INDENT)
        terminal.write(terminal.indented(drawn, INDENT))
    else:
        paragraphs(f"{title}:", [none])


def paragraphs(first: str, others: Iterable[str] = ()) -> None:
    """A sentence and others below it on stdout, each of them from a line of its own."""
    terminal.write(map(terminal.plain, terminal.wrapped(first, terminal.columns())))
    for text in others:
        lines = map(terminal.plain, terminal.wrapped(text, terminal.columns() - INDENT))
        terminal.write(terminal.indented(lines, INDENT))


def show(rows: Iterable[Row], columns: Sequence[Column[Row]], *, headers: bool = True) -> None:
    """Draw a table on stdout."""
    terminal.write(table(rows, columns, headers=headers))


def age_of(created: datetime | None, now: Callable[[], datetime]) -> str:
    """How old something is, "" where that is not known."""
    return "" if created is None else quantities.age_text((now() - created).total_seconds())


def age_column(
    created: Callable[[Row], datetime | None], now: Callable[[], datetime], *, wide: bool = False, drop: int = 0
) -> Column[Row]:
    """AGE, which sorts the youngest first."""

    def key(row: Row) -> float:
        moment = created(row)
        return -moment.timestamp() if moment else 0.0

    return Column("AGE", lambda row: age_of(created(row), now), key=key, wide=wide, drop=drop)
