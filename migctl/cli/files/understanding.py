"""What the documents of files mean to the control plane: all of them are understood before any of them is touched."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from migctl.backends.protocol import ControlPlaneError
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control, Manifest, Together
from migctl.cli.failures import ExitCode, Failure, refusal, usage
from migctl.cli.files import documents
from migctl.cli.files.documents import Document
from migctl.cli.session import Session
from migctl.quantities import BadQuantity

R = TypeVar("R")

FIRST = ("namespace", "department", "nodepool", "project")
"""Kinds that others name; the others come after them, in the order of the documents."""


@dataclass(frozen=True)
class Understood:
    """A document and the object that it describes."""

    document: Document
    manifest: Manifest

    @property
    def place(self) -> str:
        """Where the document stands, and what it is called there."""
        return f"{self.document.where} ({self.document.title})"

    async def about(self, doing: Awaitable[R]) -> R:
        """What comes of it; an error says which document it is about."""
        return await _about(self.document, doing)


@dataclass(frozen=True)
class Source:
    """Which files a command is about: -f, -R, -p."""

    files: Sequence[str]
    recursive: bool
    project: str | None

    def read(self) -> list[Document]:
        """Their documents. Raises Failure."""
        return documents.read(self.files, self.recursive)


async def understood(
    control: Control, session: Session, source: Source, found: list[Document], *, notes: bool = True
) -> tuple[list[Understood], Together]:
    """The documents as the control plane understands them, what others name first; and all of them together.

    notes  what has no effect here is told on stderr
    """
    chosen: list[str] = []

    async def default() -> str:
        if not chosen:
            chosen.append(await session.choose_project(control, source.project))
        return chosen[0]

    if source.project is not None:
        await default()
    together = Together([document.body for document in found])
    read = [
        Understood(document, await _about(document, control.manifest(document.body, default, together)))
        for document in found
    ]
    for each in read:
        if source.project is not None and each.manifest.project not in ("", chosen[0]):
            raise Failure(
                f"{each.place}: it says project {each.manifest.project}, and -p says {chosen[0]}", code=ExitCode.USAGE
            )
    there = [each for each in read if not each.manifest.left_out]
    _once(there)
    for each in read:
        for note in each.manifest.notes if notes else ():
            sessions.note(f"note: {each.place}: {note}")
    if not there:
        raise usage("nothing of it is made here", hint="the notes above say why")
    together.names = frozenset(each.manifest.name for each in there)
    return sorted(there, key=_rank), together


def _rank(each: Understood) -> int:
    kind = each.manifest.name.partition("/")[0]
    return FIRST.index(kind) if kind in FIRST else len(FIRST)


def _once(read: list[Understood]) -> None:
    seen: dict[tuple[str, str], Understood] = {}
    for each in read:
        key = (each.manifest.project, each.manifest.name)
        if key in seen:
            first = seen[key].document.where
            raise Failure(
                f"{each.place}: {each.manifest.name} stands there twice, first in {first}", code=ExitCode.USAGE
            )
        seen[key] = each


async def _about(document: Document, doing: Awaitable[R]) -> R:
    try:
        return await doing
    except (ControlPlaneError, BadQuantity) as error:
        failure = refusal(error, None)
        place = f"{document.where} ({document.title})"
        raise Failure(f"{place}: {failure.message}", hint=failure.hint, code=failure.code) from error
