"""A list of things, written as -o says: a table, documents or names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from migctl.cli.failures import usage
from migctl.cli.output import formats, tables
from migctl.cli.output.formats import Format
from migctl.cli.session import Session
from migctl.objects import Object

Row = TypeVar("Row")


@dataclass(frozen=True)
class OutputOptions:
    """How a list is to be written."""

    format: Format
    headers: bool = True
    sort_by: str | None = None


@dataclass(frozen=True)
class TableKind(Generic[Row]):
    """A kind of thing that is listed: its columns, and the object behind a row.

    figures  what a document says of a row besides its object, under "figures"
    """

    kind: str
    columns: Sequence[tables.Column[Row]]
    object: Callable[[Row], Object]
    figures: Callable[[Row], Mapping[str, Any]] = lambda _: {}

    def document(self, row: Row) -> dict[str, Any]:
        """A row for machines."""
        figures = self.figures(row)
        return {**formats.document(self.object(row)), **({"figures": figures} if figures else {})}


def view(session: Session, output: Format | None, headers: bool = True, sort_by: str | None = None) -> OutputOptions:
    """The output that flags and settings choose."""
    name = session.setting("output", output) or Format.TABLE
    try:
        return OutputOptions(Format(name.lower()), headers, sort_by)
    except ValueError:
        raise usage(f"no output is called {name!r}", hint=f"one of {', '.join(Format)}") from None


def write(
    rows: Sequence[Row], listed: TableKind[Row], view: OutputOptions, *, title: str = "", empty: str = ""
) -> None:
    """Write rows on stdout; an empty table says so on stderr."""
    ordered = tables.sort(rows, listed.columns, view.sort_by)
    if view.format is Format.NAME:
        sys.stdout.writelines(f"{formats.name(listed.object(row))}\n" for row in ordered)
    elif not view.format.human_readable:
        formats.write(formats.listing(listed.kind, [listed.document(row) for row in ordered]), view.format)
    elif not ordered and empty:
        print(empty, file=sys.stderr)
    else:
        _table(ordered, listed, view, title)


def _table(rows: Sequence[Row], listed: TableKind[Row], view: OutputOptions, title: str) -> None:
    if title and view.headers:
        print(title)
    columns = tables.shown(listed.columns, view.format is Format.WIDE)
    tables.show(rows, columns, headers=view.headers)


def write_one(obj: Object, view: OutputOptions, text: Callable[[], None]) -> None:
    """Write one object as -o says; `text` writes it for -o table."""
    if view.format is Format.NAME:
        print(formats.name(obj))
    elif view.format.human_readable:
        text()
    else:
        formats.write(formats.document(obj), view.format)


def write_each(
    things: Sequence[Row],
    format: Format,
    *,
    name: Callable[[Row], str],
    text: Callable[[Row], None],
    document: Callable[[Row], Mapping[str, Any]],
) -> None:
    """Write named things one after another as -o says; several documents are one list of them."""
    if format is Format.NAME:
        print(*map(name, things), sep="\n")
    elif format.human_readable:
        for number, thing in enumerate(things):
            if number:
                print()
            text(thing)
    else:
        made = [document(thing) for thing in things]
        several = {"apiVersion": made[0]["apiVersion"], "kind": f"{made[0]['kind']}List", "items": made}
        formats.write(made[0] if len(made) == 1 else several, format)
