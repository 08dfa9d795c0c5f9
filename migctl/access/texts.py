"""Texts that decisions left behind, without what names the work of projects that their reader may not see.

Who is stopped is told for whom and by which figures (solver/disruption/reasons.py); who gets the room, by whose going.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

ANOTHERS = "another project's work"
_WORK = re.compile(r"\b(for|freed by|evict|assign) ([^\s/;:,]+)/([^\s/;:,]+)")
_FIGURES = re.compile(r"project ([^\s:]+)(?=:| in node pool |$)")
DEPARTMENT = "department "


def without_others(text: str, sees: Callable[[str], bool]) -> str:
    """The text as somebody may read it. sees: whether he may see the project of a name.

    Figures of projects that he may not see are left out, with those of their departments.
    """
    if "/" not in text and "project " not in text:
        return text

    def work(found: re.Match[str]) -> str:
        return found[0] if sees(found[2]) else f"{found[1]} {ANOTHERS}"

    return "; ".join(_seen_clauses(_WORK.sub(work, text), sees))


def _seen_clauses(text: str, sees: Callable[[str], bool]) -> Iterator[str]:
    hidden = False
    for clause in text.split("; "):
        if figures := _FIGURES.search(clause):
            hidden = not sees(figures[1])
            if hidden:
                before = clause[: figures.start()].rstrip(": ")
                if before:
                    yield before
                continue
        elif hidden and clause.startswith(DEPARTMENT):
            continue
        hidden = False
        yield clause
