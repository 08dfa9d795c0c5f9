"""`context list|use|show`: which control plane commands are about, and which ones there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import typer

from migctl.cli import session
from migctl.cli.contexts import kubeconfig
from migctl.cli.contexts.context import IN_CLUSTER, LOCAL, TO_CHOOSE, called, in_pod
from migctl.cli.failures import Failure, not_found
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, PatientGroup
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view
from migctl.cli.output.tables import Column
from migctl.cli.session import Session
from migctl.objects import API_VERSION

app = typer.Typer(cls=PatientGroup, help="Contexts: the control planes to choose from.", **APP_SETTINGS)
app.callback()(lambda: None)


@dataclass(frozen=True)
class Row:
    """A control plane by its name; `current`: commands without --context are about it."""

    name: str
    cluster: str
    user: str = ""
    namespace: str = ""
    current: bool = False


@app.command("list")
def list_contexts(context: typer.Context, output: options.Output = None) -> None:
    """List this machine's own control plane and the kubeconfig's contexts. `*` marks the one in use."""
    asked = session.of(context)
    shown = view(asked, output)
    rows = _rows(asked)
    if shown.format is formats.Format.NAME:
        print("\n".join(row.name for row in rows))
    elif shown.format.for_people:
        tables.show(tables.table(rows, _columns()))
    else:
        formats.write(_document(rows), shown.format)


@app.command("use")
def use(context: typer.Context, name: options.Name) -> None:
    """Choose the control plane that commands without --context are about."""
    asked = session.of(context)
    known = [row.name for row in _rows(asked)]
    if name not in known:
        raise not_found(f"no context is called {name!r}", hint=f"contexts: {', '.join(known)}")
    asked.keep(context=name)
    print(f"Commands are about {name} now")


@app.command("show")
def show(context: typer.Context) -> None:
    """Show which control plane commands are about, and why."""
    asked = session.of(context)
    place = asked.place
    why = "by default" if not place.chosen else "as chosen"
    print(f"{place.name} ({why})")
    session.note(TO_CHOOSE)


def _rows(asked: Session) -> list[Row]:
    try:
        current = asked.place.name
    except Failure:
        current = ""
    config = kubeconfig.read(asked.environ)
    rows = [Row(LOCAL, "this machine, by migctl up", current=current == LOCAL)]
    for name, found in sorted(config.contexts.items()):
        own = called(name)
        rows.append(Row(own, found.cluster, found.user, found.namespace, current=current == own))
    if in_pod(asked.environ):
        rows.append(Row(IN_CLUSTER, "the cluster of this pod", current=current == IN_CLUSTER))
    return rows


def _columns() -> list[Column[Row]]:
    return [
        Column("CURRENT", lambda row: "*" if row.current else ""),
        Column("NAME", lambda row: row.name),
        Column("CLUSTER", lambda row: row.cluster),
        Column("USER", lambda row: row.user),
        Column("NAMESPACE", lambda row: row.namespace),
    ]


def _document(rows: list[Row]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ContextList",
        "items": [
            {
                "name": row.name,
                "cluster": row.cluster,
                "user": row.user,
                "namespace": row.namespace,
                "current": row.current,
            }
            for row in rows
        ],
    }
