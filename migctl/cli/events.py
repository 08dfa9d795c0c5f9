"""`events`: what happened, the oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from migctl.cli import names
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.grammar import options
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.output import watching
from migctl.cli.output.listings import TableKind
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import TableSource
from migctl.cli.session import Session
from migctl.cli.views.workloads import NOUNS
from migctl.objects import Event

OTHERS = {"node": "Node", "nodes": "Node", "plan": "Plan", "plans": "Plan"}
"""Kinds besides workloads that events are about, as they are typed and as they are stored."""


def moment(event: Event) -> datetime | None:
    """When it happened, for the last time where it did so more than once."""
    return event.spec.last or event.meta.created


def when(event: Event) -> tuple[float, str]:
    """When it happened; those of one moment keep one order."""
    happened = moment(event)
    return happened.timestamp() if happened else 0.0, event.meta.version.zfill(20)


def table(session: Session) -> TableKind[Event]:
    """The table of events."""
    return TableKind(
        "Event",
        (
            age_column(moment, session.system.now),
            Column("TYPE", lambda event: "Warning" if event.spec.warning else "Normal", style=_style, drop=2),
            Column("REASON", lambda event: event.spec.reason),
            Column("PROJECT", lambda event: event.meta.project, drop=1),
            Column("ABOUT", lambda event: event.spec.about),
            Column("MESSAGE", message, long=True),
        ),
        lambda event: event,
    )


def message(event: Event) -> str:
    """What happened, and how often."""
    return event.spec.message + (f" ({event.spec.count} times)" if event.spec.count > 1 else "")


def _style(event: Event) -> str:
    return "yellow" if event.spec.warning else ""


@grouped
def events(
    context: typer.Context,
    *,
    about: Annotated[
        str | None,
        typer.Option("--for", metavar="NAME", help="Only about this workload, node/NAME or plan/NAME."),
    ] = None,
    project: options.Project = None,
    all_projects: options.AllProjects = False,
    listed: ListOptions,
    watch: options.Watch = False,
) -> None:
    """Show what happened.

    Placements, evictions and failures, the oldest first.
    """
    session = sessions.of(context)
    shown = listed.view(session)
    subject = None if about is None else _subject(about)

    async def source(control: Control) -> TableSource[Event]:
        chosen = None if all_projects else await session.choose_project(control, project)

        async def read() -> Sequence[Event]:
            found = (await control.list(Event, chosen)).items
            return sorted((e for e in found if subject in (None, e.spec.about)), key=when)

        empty = f"no events in project {chosen}" if chosen else "no events"
        return TableSource(table(session), shown, read, empty=empty)

    watching.show(session, (Event,), source, watch)


def _subject(word: str) -> str:
    """What events about it name. Raises Failure for a kind that none is about."""
    kind, name = names.split(word, *NOUNS, *OTHERS)
    return f"{OTHERS.get(kind, 'Workload')}/{name}"
