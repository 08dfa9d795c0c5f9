"""`web`: a link that signs a browser in."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.identity import scope


def web(
    context: typer.Context,
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="For this user, with the roles that he was granted.")
    ] = None,
) -> None:
    """Print a link that signs a browser in: once, within two minutes."""

    async def made(control: Control) -> Any:
        return await scope.rest(control).rest("POST", "/login-links", body={"user": user or ""})

    link = scope.on_machine(sessions.of(context), made, "a browser comes to migctl-api with a token of the cluster")
    print(link["url"])
    sessions.note("it works once, within two minutes; whoever opens it is signed in")
