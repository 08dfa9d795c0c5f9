"""Fits a table into a terminal: what gives way first where its lines are too long.

In this order, and only as far as it must: gaps narrow; sentences go below their row; columns in which no row says
anything go; headings give way to their short forms; columns go in the order that they state; texts are shortened in
their middle; at last columns go from the right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rich.cells import cell_len

from migctl.cli.output.terminal import cut

GAP = 3
NARROW_GAP = 2
LEAST = 8
"""Columns of a terminal that a shortened text keeps."""


@dataclass(frozen=True)
class Strip:
    """A column as it is drawn: its heading and texts, and how it gives way.

    place  its number among the table's columns
    brief  heading where there is little room, "" for none
    drop   0: it stays; otherwise the highest goes first
    long   sentences, which go below the row
    """

    place: int
    heading: str
    texts: Sequence[str]
    brief: str = ""
    drop: int = 0
    long: bool = False

    @property
    def width(self) -> int:
        """The width of its heading or its longest text."""
        return max(map(cell_len, (self.heading, *self.texts)))

    @property
    def empty(self) -> bool:
        """Whether no row says anything in it."""
        return not any(self.texts)


@dataclass(frozen=True)
class Layout:
    """Strips side by side, those that go below each row, and the gap between two of them."""

    beside: list[Strip]
    below: list[Strip]
    gap: int


def fit(strips: list[Strip], room: int) -> Layout:
    """The strips in `room` columns."""
    if _total(strips, GAP) <= room:
        return Layout(strips, [], GAP)
    ranks = sorted({strip.drop for strip in strips} - {0}, reverse=True)
    steps: list[Callable[[list[Strip]], list[Strip]]] = [
        lambda shown: [strip for strip in shown if not strip.long],
        lambda shown: [strip for strip in shown if not strip.empty] or shown,
        lambda shown: [replace(strip, heading=strip.brief or strip.heading) for strip in shown],
        *(partial(_without, rank) for rank in ranks),
        partial(_shortened, room),
        partial(_from_the_left, room),
    ]
    shown = strips
    for step in steps:
        if _total(shown, NARROW_GAP) <= room:
            break
        shown = step(shown)
    places = {strip.place for strip in shown}
    below = [strip for strip in strips if strip.long and strip.place not in places and not strip.empty]
    return Layout(shown, below, NARROW_GAP)


def _total(strips: Sequence[Strip], gap: int) -> int:
    return sum(strip.width for strip in strips) + gap * (len(strips) - 1)


def _without(rank: int, strips: list[Strip]) -> list[Strip]:
    return [strip for strip in strips if strip.drop != rank]


def _shortened(room: int, strips: list[Strip]) -> list[Strip]:
    """The widest texts shortened until all of them fit, or until none may be shortened any more."""
    least = [max(LEAST, cell_len(strip.heading)) for strip in strips]
    widths = [strip.width for strip in strips]
    while sum(widths) + NARROW_GAP * (len(strips) - 1) > room:
        widest = max(range(len(strips)), key=lambda i: widths[i] if widths[i] > least[i] else 0)
        if widths[widest] <= least[widest]:
            break
        widths[widest] -= 1
    return [
        replace(strip, texts=[cut(text, width) for text in strip.texts])
        for strip, width in zip(strips, widths, strict=True)
    ]


def _from_the_left(room: int, strips: list[Strip]) -> list[Strip]:
    """As many as fit, one at least."""
    count = len(strips)
    while count > 1 and _total(strips[:count], NARROW_GAP) > room:
        count -= 1
    return strips[:count]
