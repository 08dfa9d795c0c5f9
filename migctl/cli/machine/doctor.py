"""`doctor`: is this machine fit to share its GPUs, and what to do where it is not."""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer

from migctl.cli import session as sessions
from migctl.cli.failures import ExitCode
from migctl.cli.grammar import options
from migctl.cli.output import terminal
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import view

Finding = dict[str, str]

NARROWEST = 30


def doctor(context: typer.Context, output: options.Output = None) -> None:
    """Check this machine, and say what to do.

    Looks at driver, MIG, permissions, foreign GPU programs and containers, and changes nothing.
    Exit code 1 when something keeps GPUs from being shared.
    """
    from migctl.embedded import doctor as machine
    from migctl.embedded.home import Home

    form = view(sessions.of(context), output).format
    found = machine.findings(Home.default())
    print(_text(found, form))
    if any(finding["level"] == machine.ERROR for finding in found):
        raise typer.Exit(ExitCode.FAILED)


def _text(found: Sequence[Finding], form: Format) -> str:
    if form.human_readable:
        return "\n".join(_lines(found))
    if form is Format.JSON:
        return json.dumps(found, indent=2)
    if form is Format.YAML:
        import yaml

        return yaml.safe_dump(list(found), sort_keys=False).rstrip()
    return "\n".join(finding["check"] for finding in found)


def _lines(found: Sequence[Finding]) -> list[str]:
    """Level, check and text of each finding, and below it what to do."""
    width = max(len(finding["check"]) for finding in found)
    beside = width + 11
    room = max(terminal.columns() - beside, NARROWEST)
    lines = []
    for finding in found:
        first, *more = terminal.wrapped(finding["text"], room)
        lines.append(f"{finding['level'].upper():<8} {finding['check']:<{width}}  {first}")
        fix = terminal.wrapped(f"-> {finding['fix']}", room) if finding["fix"] else ()
        lines += [" " * beside + text for text in (*more, *fix)]
    return lines
