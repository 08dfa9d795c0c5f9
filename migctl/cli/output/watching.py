"""Showing what changes: on a terminal the picture is redrawn, elsewhere changed rows follow."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from migctl.backends.protocol import ControlPlane, Expired
from migctl.cli.output import formats, listings, tables, terminal
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import OutputOptions, TableKind
from migctl.cli.session import Session
from migctl.objects import Object

Row = TypeVar("Row")
Kinds = Sequence[type[Object]]

REDRAW_S = 1.0


async def follow(
    control: ControlPlane, kinds: Kinds, look: Callable[[], Awaitable[bool]], every: float | None = None
) -> None:
    """Look at once and after every burst of changes to these kinds, for as long as `look` says to go on.

    every: look again after so many seconds without a change, too.
    """
    changed = asyncio.Event()
    versions = [(await control.list(kind)).version for kind in _any(kinds)]
    try:
        async with asyncio.TaskGroup() as group:
            watchers = [
                group.create_task(_signal(control, kind, version, changed))
                for kind, version in zip(kinds, versions, strict=True)
            ]
            while await look():
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), every)
                changed.clear()
            for watcher in watchers:
                watcher.cancel()
    except* Exception as errors:
        raise errors.exceptions[0] from None


async def _signal(control: ControlPlane, kind: Any, version: str, changed: asyncio.Event) -> None:
    while True:
        try:
            async for _ in control.watch(kind, version):
                changed.set()
        except Expired:
            changed.set()
        version = (await control.list(kind)).version


def _any(kinds: Kinds) -> Sequence[Any]:
    """The kinds as the generic protocol takes them: a union of classes is no type argument."""
    return kinds


@dataclass(frozen=True)
class TableSource(Generic[Row]):
    """A list that can be read again and again, and how it is written."""

    listed: TableKind[Row]
    view: OutputOptions
    read: Callable[[], Awaitable[Sequence[Row]]]
    title: str = ""
    empty: str = ""


async def write(control: ControlPlane, kinds: Kinds, listing: TableSource[Any], watch: bool) -> None:
    """Write a list on stdout, and with `watch` go on with what changes."""
    if not watch:
        rows = await listing.read()
        listings.write(rows, listing.listed, listing.view, title=listing.title, empty=listing.empty)
    elif listing.view.format.human_readable and sys.stdout.isatty():
        await _redraw(control, kinds, listing)
    else:
        await _append(control, kinds, listing)


def show(session: Session, kinds: Kinds, source: Callable[[Any], Awaitable[TableSource[Any]]], watch: bool) -> None:
    """Connect, and write the list that `source` makes of the control plane."""

    async def shown(control: Any) -> None:
        await write(control, kinds, await source(control), watch)

    session.run(shown)


async def _redraw(control: ControlPlane, kinds: Kinds, listing: TableSource[Any]) -> None:
    from migctl.cli.output.redrawn import RedrawnPicture

    columns = tables.shown(listing.listed.columns, listing.view.format is Format.WIDE)
    title = [terminal.plain(listing.title)] if listing.title else []
    with RedrawnPicture() as picture:

        async def draw() -> bool:
            rows = tables.sort(await listing.read(), listing.listed.columns, listing.view.sort_by)
            picture.draw([*title, *tables.table(rows, columns, headers=listing.view.headers)])
            return True

        await follow(control, kinds, draw, every=REDRAW_S)


async def _append(control: ControlPlane, kinds: Kinds, listing: TableSource[Any]) -> None:
    """First everything, then each row whose object changed."""
    seen: dict[tuple[str, str], str] = {}
    first = True

    def fresh(row: Any) -> bool:
        meta = listing.listed.object(row).meta
        text = str([column.cell(row) for column in listing.listed.columns if column.header != "AGE"])
        known = seen.get((meta.project, meta.name))
        seen[meta.project, meta.name] = text
        return text != known

    async def print_changed() -> bool:
        nonlocal first
        rows = [row for row in await listing.read() if fresh(row)]
        if listing.view.format.human_readable or listing.view.format is Format.NAME:
            if rows or first:
                view = OutputOptions(listing.view.format, listing.view.headers and first, listing.view.sort_by)
                listings.write(rows, listing.listed, view, title=listing.title, empty=listing.empty if first else "")
        else:
            for row in rows:
                formats.write(listing.listed.document(row), listing.view.format)
        sys.stdout.flush()
        first = False
        return True

    await follow(control, kinds, print_changed)
