"""`token create|list|delete|rotate-keys`: what programs sign in with."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from msgspec.structs import replace

from migctl import quantities
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import not_found
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.identity import scope
from migctl.cli.output.listings import TableKind, write
from migctl.cli.output.tables import Column
from migctl.cli.session import Session
from migctl.objects import AccessToken, AccessTokenSpec, Meta

INSTEAD = "kubectl create token NAME gives a token of a service account"

app = typer.Typer(cls=HelpGroup, help="Tokens: what programs sign in with.", **APP_SETTINGS)
app.callback()(lambda: None)


@app.command("create")
def create(
    context: typer.Context,
    name: options.NewName,
    role: scope.RoleOption,
    project: scope.Project = None,
    department: scope.Department = None,
    ttl: Annotated[str | None, typer.Option("--ttl", metavar="TIME", help="Valid for so long: 12h, 30d.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Whose its workloads are; yours.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the secret alone.")] = False,
) -> None:
    """Create a token and show its secret, this once."""
    from migctl.access.identity.secrets import digest, new_secret

    session = sessions.of(context)
    access = scope.given(session, role, project, department)
    expires = None if ttl is None else session.system.now() + timedelta(seconds=quantities.duration(ttl))
    secret = new_secret(name)

    async def created(control: Control) -> AccessToken:
        whose = user or (await control.identity()).user
        spec = AccessTokenSpec(user=whose, access=access, secret_sha256=digest(secret), expires=expires)
        return await control.create(AccessToken(meta=Meta(name=name), spec=spec))

    token = scope.on_machine(session, created, INSTEAD)
    if quiet:
        print(secret)
        return
    until = f"until {expires:%Y-%m-%d %H:%M} UTC" if expires else "until it is deleted"
    print(f"Created token {name}: {scope.told(access)}, as {token.spec.user}, {until}")
    print(f"Secret: {secret}")
    sessions.note("the secret is shown this once; on another machine: migctl login --server URL")


@app.command("list")
@grouped
def list_tokens(context: typer.Context, *, listed: ListOptions) -> None:
    """List tokens: role, where it counts, last use and expiry."""
    session = sessions.of(context)

    async def read(control: Control) -> tuple[AccessToken, ...]:
        return (await control.list(AccessToken)).items

    tokens = sorted(scope.on_machine(session, read, INSTEAD), key=lambda token: token.meta.name)
    write(tokens, _table(session), listed.view(session), empty="no tokens; migctl token create NAME --role viewer")


@app.command("delete")
def delete(context: typer.Context, name: options.NewName) -> None:
    """Delete a token: whoever came with it is out at once."""

    async def deleted(control: Control) -> None:
        tokens = {token.meta.name: token for token in (await control.list(AccessToken)).items}
        if name not in tokens:
            raise not_found(f"no token is called {name!r}", hint="migctl token list")
        await control.delete(tokens[name])

    scope.on_machine(sessions.of(context), deleted, "kubectl delete serviceaccount NAME")
    print(f"Deleted token {name}")


@app.command("rotate-keys")
def rotate_keys(context: typer.Context) -> None:
    """Sign with a new key from now on; what the old one signed is valid for 15 minutes."""

    async def rotated(control: Control) -> None:
        await scope.rest(control).rest("POST", "/signing-keys/rotate")

    scope.on_machine(sessions.of(context), rotated, INSTEAD)
    print("A new key signs from now on")


def _table(session: Session) -> TableKind[AccessToken]:
    return TableKind(
        "AccessToken",
        (
            Column("NAME", lambda token: token.meta.name),
            Column("ROLE", lambda token: token.spec.access.role),
            Column("SCOPE", lambda token: scope.column(token.spec.access.scope)),
            Column("USER", lambda token: token.spec.user, drop=1),
            Column("LAST USED", lambda token: _ago(session, token), drop=2),
            Column("EXPIRES", lambda token: _left(session, token)),
            Column("CREATED BY", lambda token: token.spec.created_by, wide=True, drop=3),
        ),
        lambda token: replace(token, spec=replace(token.spec, secret_sha256="")),
    )


def _ago(session: Session, token: AccessToken) -> str:
    last = token.status.last_used
    return "never" if last is None else quantities.age_text((session.system.now() - last).total_seconds())


def _left(session: Session, token: AccessToken) -> str:
    if token.spec.expires is None:
        return "never"
    left = (token.spec.expires - session.system.now()).total_seconds()
    return f"in {quantities.age_text(left)}" if left > 0 else "expired"
