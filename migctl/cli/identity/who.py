"""`whoami`, `login`, `logout`, `version` and `config`: the user's identity and settings.

This machine's own control plane is reached through a Unix socket that only its owner can open: the system vouches
for who is at the other end. A cluster knows users by their kubeconfig. So there is nothing to log in to.
"""

from __future__ import annotations

from typing import Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.queues import projects


def whoami(context: typer.Context) -> None:
    """Show who you are to the control plane.

    And the project that commands are about without -p.
    """
    session = sessions.of(context)
    who = session.run(lambda control: control.identity())
    print(f"User:    {who.user}" + (f" (groups: {', '.join(who.groups)})" if who.groups else ""))
    print(f"Project: {session.setting('project', None) or '(none; migctl project set NAME)'}")
    print(f"Context: {session.target.name}")
    print(f"Login:   {who.vouched}")


def login(context: typer.Context) -> None:
    """Say how you are known to the control plane."""
    session = sessions.of(context)
    who = session.run(lambda control: control.identity())
    print(f"You are {who.user}; no login is needed: {who.vouched}.")


def logout(context: typer.Context) -> None:
    """Say that there is nothing to forget."""
    print("There is nothing to log out of: migctl keeps no password and no token.")


def number() -> str:
    """The version of migctl that is installed."""
    from importlib import metadata

    return metadata.version("migctl")


def version(
    context: typer.Context,
    short: Annotated[bool, typer.Option("--short", help="The number alone.")] = False,
) -> None:
    """Show the version of migctl."""
    print(number() if short else f"migctl {number()}")


config = typer.Typer(cls=HelpGroup, help="Settings of this user.", **APP_SETTINGS)
config.command("project")(projects.set_default)


@config.command("view")
def show(context: typer.Context, output: options.Output = None) -> None:
    """Show the config file: where it is and what it says."""
    import msgspec

    session = sessions.of(context)
    print(f"# {session.config_path}")
    print(msgspec.json.format(msgspec.json.encode(session.config)).decode())
