"""`doctor`: is this machine fit to share its GPUs, and what to do where it is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.context import LOCAL
from migctl.cli.failures import ExitCode
from migctl.cli.grammar import options
from migctl.cli.output import terminal
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import view
from migctl.cli.session import Session

Finding = dict[str, str]

NARROWEST = 30
WARNING = "warning"
"""Level of what a node remarks: its GPUs are shared all the same."""


def doctor(context: typer.Context, output: options.Output = None) -> None:
    """Check this machine, and say what to do.

    Looks at driver, MIG, permissions, foreign GPU programs and containers, and changes nothing.
    Exit code 1 when something keeps GPUs from being shared.
    """
    from migctl.embedded import doctor as machine
    from migctl.embedded.home import Home

    session = sessions.of(context)
    form = view(session, output).format
    found = [*machine.findings(Home.default()), *_reported(session)]
    print(_text(found, form))
    if any(finding["level"] == machine.ERROR for finding in found):
        raise typer.Exit(ExitCode.FAILED)


def _reported(session: Session) -> list[Finding]:
    """What the nodes of a running `migctl up` say is wrong."""
    from migctl.backends.protocol import ControlPlaneError
    from migctl.gpu_map import fleet

    try:
        seen = replace(session, context=LOCAL).run(fleet.read)
    except ControlPlaneError:
        return []
    return [
        {"check": f"node {node.meta.name}", "level": WARNING, "text": text, "fix": "migctl gpus, and migctl events -A"}
        for node in seen.nodes
        for text in seen.remarks(node)
    ]


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
