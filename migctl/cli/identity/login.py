"""`login` and `logout`: servers on other machines, and the tokens that we come to them with."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts import servers
from migctl.cli.contexts.servers import ServerEntry
from migctl.cli.failures import ExitCode, Failure, not_found, usage

if TYPE_CHECKING:
    from migctl.backends.http.tcp_endpoint import TcpEndpoint

LONGEST_SECRET = 4096


def login(
    context: typer.Context,
    server: Annotated[
        str | None, typer.Option("--server", metavar="URL", help="The server: https://gpu1.example.org:8443.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="FILE", help="The token's secret: a file, or - for stdin; otherwise it asks."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What the context is called; HOST:PORT.")
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="SHA256", help="Of the server's certificate, as `migctl up` showed it."),
    ] = None,
) -> None:
    """Sign in to a server, and make commands be about it.

    Without --server it says how you are known to the control plane.
    """
    session = sessions.of(context)
    if server is None:
        who = session.run(lambda control: control.identity())
        print(f"You are {who.user}; no login is needed: {who.vouched}.")
        return
    url = server if "://" in server else f"https://{server}"
    called = name or urlsplit(url).netloc
    kept = asyncio.run(_certificate(url, fingerprint))
    secret = _secret(token)
    entry = ServerEntry(url, _name_of(secret), secret, kept)
    user = asyncio.run(_checked(entry))
    servers.save(session.environ, {**servers.load(session.environ), called: entry})
    session.change_config(context=called)
    print(f"You are {user} at {url}; commands are about {called} now")
    sessions.note("migctl context use local is the way back, migctl logout forgets it")


def logout(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The context; the one in use.")] = None,
) -> None:
    """Forget a server and its token."""
    session = sessions.of(context)
    known = servers.load(session.environ)
    called = name or session.setting("context", None)
    if called is None or (name is None and called not in known):
        print("There is nothing to log out of: migctl keeps no password and no token.")
        return
    if called not in known:
        raise not_found(f"no server is called {called!r}", hint=f"servers: {', '.join(sorted(known))}")
    servers.save(session.environ, {other: entry for other, entry in known.items() if other != called})
    if session.config.context == called:
        session.change_config(context=None)
    print(f"Forgot {called} and its token")
    sessions.note(f"the token stays valid elsewhere; to end it: migctl token delete {known[called].token}")


def _secret(token: str | None) -> str:
    """The secret: from a file, from stdin, or typed without an echo; never from an argument."""
    if token == "-":
        text = sys.stdin.read(LONGEST_SECRET)
    elif token is not None:
        if token.startswith("migctl_") and not Path(token).exists():
            raise usage("--token names a file: arguments can be seen by everybody on this machine", hint="--token -")
        with Path(token).open() as file:
            text = file.read(LONGEST_SECRET)
    elif sys.stdin.isatty():
        import getpass

        text = getpass.getpass("Secret: ")
    else:
        raise usage("there is nobody to ask for the token's secret", hint="--token -, with the secret on stdin")
    if not text.strip():
        raise usage("the token's secret is empty", hint="migctl token create NAME --role ROLE -q prints one")
    return text.strip()


def _name_of(secret: str) -> str:
    from migctl.access.identity.secrets import name_in

    name = name_in(secret)
    if not name:
        raise usage("this is no secret of a token", hint="it looks like migctl_NAME_...; migctl token create makes one")
    return name


async def _certificate(url: str, fingerprint: str | None) -> str:
    """The fingerprint to keep; "" where an authority of this system vouches, or without TLS."""
    import ssl

    from migctl.backends.http.tcp_endpoint import TcpEndpoint

    endpoint = TcpEndpoint(url)
    try:
        _, writer = await endpoint.open()
        writer.transport.abort()
        if fingerprint is None or not url.startswith("https"):
            return ""
    except ssl.SSLCertVerificationError:
        pass
    except OSError as error:
        raise endpoint.unreachable(error) from error
    return await _accepted(endpoint, url, fingerprint)


async def _accepted(endpoint: TcpEndpoint, url: str, fingerprint: str | None) -> str:
    try:
        seen = await endpoint.certificate()
    except OSError as error:
        raise endpoint.unreachable(error) from error
    if fingerprint is not None:
        if _plain(fingerprint) != _plain(seen):
            raise Failure(
                f"{url} has another certificate: {seen}",
                hint="somebody else may be answering; ask the server's admin",
                code=ExitCode.FORBIDDEN,
            )
        return seen
    sessions.note(f"no authority vouches for {url}; the SHA-256 fingerprint of its certificate is\n{seen}")
    if not sys.stdin.isatty() or not os.isatty(sys.stderr.fileno()):
        raise usage("nobody is here to compare the fingerprint", hint="--fingerprint, as migctl up showed it")
    typer.confirm("Is it the one that migctl up showed?", abort=True, err=True)
    return seen


def _plain(fingerprint: str) -> str:
    return fingerprint.replace(":", "").upper()


async def _checked(entry: ServerEntry) -> str:
    """Whom the server takes us for. Raises Unauthenticated."""
    from migctl.cli.contexts.remote import ServerControl

    return (await ServerControl(entry).identity()).user
