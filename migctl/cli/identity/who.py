"""`whoami`, `version` and `config`: the user's identity and settings.

This machine's own control plane is reached through a Unix socket that only its owner can open: the system vouches
for who is at the other end. A cluster knows users by their kubeconfig, a server by a token (login.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from migctl.cli import session as sessions
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.output import formats, tables
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import view
from migctl.cli.queues import projects


def whoami(context: typer.Context, output: options.Output = None) -> None:
    """Show who you are to the control plane.

    And the project that commands are about without -p.
    """
    session = sessions.of(context)
    shown = view(session, output)
    who = session.run(lambda control: control.identity())
    project = session.setting("project", None)
    if shown.format is Format.NAME:
        print(who.user)
    elif shown.format.human_readable:
        also = [f"uid {who.uid}"] if who.uid is not None else []
        also += [f"groups: {', '.join(who.groups)}"] if who.groups else []
        tables.paragraphs(f"User:    {who.user}" + (f" ({'; '.join(also)})" if also else ""))
        tables.paragraphs(f"Project: {project or '(none; migctl project set NAME)'}")
        tables.paragraphs(f"Context: {session.target.name}")
        if who.roles:
            tables.paragraphs(f"Roles:   {'; '.join(who.roles)}")
        tables.paragraphs(f"Login:   {who.vouched}")
        if who.until is not None:
            tables.paragraphs(f"Until:   {who.until:%Y-%m-%d %H:%M} UTC")
    else:
        facts = {"user": who.user, "uid": who.uid, "groups": list(who.groups), "login": who.vouched}
        facts |= {"roles": list(who.roles), "until": who.until.isoformat() if who.until else None}
        formats.write(
            _document("Identity", {**facts, "project": project, "context": session.target.name}), shown.format
        )


def _document(kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    from migctl.objects import API_VERSION

    return {"apiVersion": API_VERSION, "kind": kind, **facts}


def number() -> str:
    """The version of migctl that is installed."""
    from importlib import metadata

    return metadata.version("migctl")


def version(
    context: typer.Context,
    short: Annotated[bool, typer.Option("--short", help="The number alone.")] = False,
    output: options.Output = None,
) -> None:
    """Show the version of migctl."""
    shown = view(sessions.of(context), output)
    if shown.format.human_readable or shown.format is Format.NAME:
        print(number() if short else f"migctl {number()}")
    else:
        formats.write(_document("Version", {"version": number()}), shown.format)


config = typer.Typer(cls=HelpGroup, help="Settings of this user.", **APP_SETTINGS)
config.command("project")(projects.set_default)


@config.command("view")
def show(context: typer.Context, output: options.Output = None) -> None:
    """Show the config file: where it is and what it says."""
    import msgspec

    session = sessions.of(context)
    shown = view(session, output)
    if shown.format is Format.NAME:
        print(session.config_path)
    elif shown.format.human_readable:
        print(f"# {session.config_path}")
        print(msgspec.json.format(msgspec.json.encode(session.config)).decode())
    else:
        facts = {"path": str(session.config_path), "settings": msgspec.to_builtins(session.config)}
        formats.write(_document("Config", facts), shown.format)
