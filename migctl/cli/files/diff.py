"""`diff -f`: what `apply -f` would change. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, printable, translate, usage
from migctl.cli.files.understanding import Source, understood
from migctl.cli.grammar import options
from migctl.cli.output import formats
from migctl.cli.session import Session

WIDTH = 68
"""Where a line of YAML is broken, after the word that reaches it: lines fit 80 columns unless one word does not."""


def diff(
    context: typer.Context,
    files: options.Files = None,
    recursive: options.Recursive = False,
    project: options.Project = None,
) -> None:
    """Show what applying files would change; nothing is written.

    Exit code 0: no difference. 1: there are some. Higher: an error.
    """
    session = sessions.of(context)
    try:
        if not files:
            raise usage("compare what?", hint="migctl diff -f FILE; plans are compared by migctl plan diff")
        differ = _shown(session, Source(files, recursive, project))
    except Exception as error:
        failure = translate(error)
        if failure is None or failure.code is not ExitCode.FAILED:
            raise
        raise Failure(failure.message, cause=failure.cause, hint=failure.hint, code=ExitCode.USAGE) from error
    if differ:
        raise typer.Exit(1)


def _shown(session: Session, source: Source) -> bool:
    """Whether there are differences, which are printed when all documents are compared."""
    found = source.read()

    async def compared(control: Control) -> list[str]:
        read, together = await understood(control, session, source, found)
        for each in read:
            await each.about(each.manifest.check(together))
        lines: list[str] = []
        for each in read:
            before, after = await each.about(each.manifest.compared())
            lines += _lines(each.manifest.name, before, after)
        return lines

    differences = session.run(compared)
    for line in differences:
        print(printable(line))
    return bool(differences)


def _lines(name: str, before: Any, after: Any) -> Iterator[str]:
    return unified_diff(_yaml(before), _yaml(after), f"{name} now", f"{name} applied", lineterm="")


def _yaml(body: Any) -> list[str]:
    if body is None:
        return []
    return formats.yaml_text(body, WIDTH, sort_keys=True).splitlines()
