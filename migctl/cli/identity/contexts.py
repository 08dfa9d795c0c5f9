"""`context list|use|show`: which control plane commands are about, and which ones there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts import kubeconfig, servers
from migctl.cli.contexts.context import IN_CLUSTER, LOCAL, TO_CHOOSE, called, in_pod
from migctl.cli.failures import Failure, not_found
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view
from migctl.cli.output.tables import Column
from migctl.cli.session import Session
from migctl.objects import API_VERSION

app = typer.Typer(cls=HelpGroup, help="Contexts: the control planes that commands can be about.", **APP_SETTINGS)
app.callback()(lambda: None)


@dataclass(frozen=True)
class ContextRow:
    """A control plane by its name; `current`: commands without --context are about it."""

    name: str
    cluster: str
    user: str = ""
    namespace: str = ""
    current: bool = False


@app.command("list")
def list_contexts(context: typer.Context, output: options.Output = None) -> None:
    """List this machine's own control plane, servers and the kubeconfig's contexts. `*` marks the one in use."""
    session = sessions.of(context)
    shown = view(session, output)
    rows = _rows(session)
    if shown.format is formats.Format.NAME:
        print("\n".join(row.name for row in rows))
    elif shown.format.human_readable:
        tables.show(rows, _columns())
    else:
        formats.write(_document(rows), shown.format)


@app.command("use")
def use(context: typer.Context, name: options.NewName) -> None:
    """Choose the control plane that commands without --context are about."""
    session = sessions.of(context)
    known = [row.name for row in _rows(session)]
    if name not in known:
        raise not_found(f"no context is called {name!r}", hint=f"contexts: {', '.join(known)}")
    session.change_config(context=name)
    print(f"Commands are about {name} now")


@app.command("show")
def show(context: typer.Context) -> None:
    """Show which control plane commands are about, and why."""
    session = sessions.of(context)
    target = session.target
    why = "by default" if not target.chosen else "as chosen"
    print(f"{target.name} ({why})")
    sessions.note(TO_CHOOSE)


def _rows(session: Session) -> list[ContextRow]:
    try:
        current = session.target.name
    except Failure:
        current = ""
    config = kubeconfig.read(session.environ)
    rows = [ContextRow(LOCAL, "this machine, by migctl up", current=current == LOCAL)]
    for name, found in sorted(config.contexts.items()):
        own = called(name)
        rows.append(ContextRow(own, found.cluster, found.user, found.namespace, current=current == own))
    for name, server in sorted(servers.load(session.environ).items()):
        rows.append(ContextRow(name, server.url, f"token {server.token}", current=current == name))
    if in_pod(session.environ):
        rows.append(ContextRow(IN_CLUSTER, "the cluster of this pod", current=current == IN_CLUSTER))
    return rows


def _columns() -> list[Column[ContextRow]]:
    return [
        Column("CURRENT", lambda row: "*" if row.current else ""),
        Column("NAME", lambda row: row.name),
        Column("CLUSTER", lambda row: row.cluster, drop=1),
        Column("USER", lambda row: row.user, drop=3),
        Column("NAMESPACE", lambda row: row.namespace, drop=2),
    ]


def _document(rows: list[ContextRow]) -> dict[str, Any]:
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
