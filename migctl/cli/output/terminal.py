"""Lines of styled text, and the terminal or file that they are written to.

What others wrote (names, messages, values of variables) is shown without its control characters: a terminal would
obey them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from migctl.cli.failures import printable

Piece = tuple[str, str]
"""Text and its style, words of CODES; "" for plain text. Styles are never the only carrier of a meaning."""
Line = tuple[Piece, ...]

UNBOUNDED = 100_000
USUAL = 80
ROOM_FOR_AN_END = 12
CODES = {
    "bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36,
    "bright_green": 92, "bright_blue": 94, "bright_magenta": 95, "bright_cyan": 96,
}  # fmt: skip
_BLANKS = str.maketrans("\t\n\r", "   ")


def columns() -> int:
    """Width of the terminal that stdout is; UNBOUNDED where it is none: files are never cut short."""
    if not sys.stdout.isatty():
        return UNBOUNDED
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or USUAL
    except OSError:
        return USUAL


def plain(text: str) -> Line:
    """A line without a style."""
    return ((text, ""),)


def text_of(line: Line) -> str:
    """The line's characters, without blanks at its end."""
    return "".join(text for text, _ in line).rstrip()


def indented(lines: Iterable[Line], by: int) -> list[Line]:
    """The lines, moved to the right."""
    return [((" " * by, ""), *line) for line in lines]


def write(lines: Iterable[Line]) -> None:
    """Write lines on stdout, in colour on a terminal unless NO_COLOR is set."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for line in lines:
        print(_coloured(line) if coloured else text_of(line))


def _coloured(line: Line) -> str:
    room = len(text_of(line))
    shown = ""
    for text, style in line:
        kept, room = text[:room], room - len(text[:room])
        codes = ";".join(str(CODES[word]) for word in style.split())
        shown += f"\033[{codes}m{kept}\033[0m" if codes and kept.strip() else kept
    return shown


def clean(text: str) -> str:
    """The text on one line, with what a terminal would obey written out."""
    return text if text.isprintable() else printable(text.translate(_BLANKS))


def cut(text: str, room: int) -> str:
    """The text, or as much of its beginning and end as fits around a sign that something is left out.

    Names that differ in their ends only stay apart.
    """
    if cell_len(text) <= room:
        return text
    if room <= 0:
        return ""
    end = room // 3 if room >= ROOM_FOR_AN_END else 0
    tail = text[len(text) - end :]
    return set_cell_size(text, max(0, room - 1 - cell_len(tail))) + "…" + tail


def wrapped(text: str, room: int) -> Iterator[str]:
    """The text in lines of at most `room` columns, broken between words where that can be."""
    line = ""
    for word in clean(text).split(" "):
        together = f"{line} {word}" if line else word
        if cell_len(together) <= room:
            line = together
            continue
        if line:
            yield line
        *whole, line = _pieces(word, room)
        yield from whole
    yield line


def _pieces(word: str, room: int) -> Sequence[str]:
    """A word that may be longer than a line."""
    pieces = [""]
    for character in word:
        if pieces[-1] and cell_len(pieces[-1] + character) > room:
            pieces.append("")
        pieces[-1] += character
    return pieces
