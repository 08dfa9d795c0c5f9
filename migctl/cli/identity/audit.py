"""`audit`: who did what."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from migctl import quantities
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import usage
from migctl.cli.grammar import options
from migctl.cli.identity import scope
from migctl.cli.output import formats, tables
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import view
from migctl.cli.output.tables import Column
from migctl.objects import API_VERSION

Entry = dict[str, Any]


def audit(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="How far back, 1h or 2d, or an RFC 3339 time.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="What this user did.")] = None,
    project: options.Project = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, metavar="N", help="The newest N.")] = 100,
    no_headers: options.NoHeaders = False,
    output: options.Output = None,
) -> None:
    """Show who did what: changes and sign-ins, the newest last."""
    session = sessions.of(context)
    shown = view(session, output)
    asked = {"limit": str(limit), "user": user or "", "project": project or session.project or ""}
    if since is not None:
        asked["since"] = _time(since, session.system.now()).isoformat()

    async def read(control: Control) -> list[Entry]:
        answer = await scope.rest(control).rest("GET", "/audit", {key: value for key, value in asked.items() if value})
        entries: list[Entry] = answer["entries"]
        return entries[::-1]

    entries = scope.on_machine(session, read, "the API server has an audit log, where its admin turned that on")
    if shown.format is Format.NAME:
        raise usage("entries of the audit trail have no names", hint="-o json")
    if not shown.format.human_readable:
        formats.write({"apiVersion": API_VERSION, "kind": "AuditEntryList", "items": entries}, shown.format)
    elif entries:
        tables.show(entries, _columns(shown.format is Format.WIDE), headers=not no_headers)
    else:
        sessions.note("nothing was done, as far as you may see")


def _time(text: str, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now - timedelta(seconds=quantities.duration(text))
    return moment if moment.tzinfo else moment.astimezone()


def _columns(wide: bool) -> list[Column[Entry]]:
    columns = [
        Column[Entry]("TIME", lambda entry: datetime.fromisoformat(entry["time"]).strftime("%Y-%m-%d %H:%M:%S")),
        Column[Entry]("USER", lambda entry: entry["user"] or "-"),
        Column[Entry]("THROUGH", lambda entry: entry["through"], drop=3),
        Column[Entry]("FROM", lambda entry: entry["origin"], drop=4, wide=True),
        Column[Entry]("VERB", lambda entry: entry["verb"]),
        Column[Entry]("WHAT", _what),
        Column[Entry]("RESULT", lambda entry: str(entry["status"])),
        Column[Entry]("MESSAGE", lambda entry: entry["message"], long=True),
        Column[Entry]("REQUEST", lambda entry: entry["request"], wide=True, drop=5),
    ]
    return [column for column in columns if wide or not column.wide]


def _what(entry: Entry) -> str:
    name = f"{entry['kind']}/{entry['name']}" if entry["name"] else entry["kind"]
    own = entry["kind"] in ("projects", "departments")
    return f"{name} ({entry['project']})" if entry["project"] and not own else str(name)
