"""The control plane of another machine, which `migctl login --server` keeps: what its API gives to who signs in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from migctl.backends.http.client import RemoteControlPlane
from migctl.backends.http.tcp_endpoint import ServerLogin, SignedToken, TcpEndpoint
from migctl.cli.contexts import servers
from migctl.cli.contexts.control import Execution, Identity
from migctl.cli.contexts.local import LocalRuntime
from migctl.cli.contexts.servers import ServerEntry
from migctl.cli.failures import Failure
from migctl.objects import Workload

if TYPE_CHECKING:
    from solver.model.snapshot import Snapshot


class ServerControl(LocalRuntime, RemoteControlPlane):
    """Behind an address on TCP."""

    def __init__(self, entry: ServerEntry, environ: Mapping[str, str] | None = None) -> None:
        """environ: says where short-lived tokens are kept between commands; None: they are not."""
        login = ServerLogin(entry.url, entry.token, entry.secret, entry.fingerprint)
        key = f"{entry.url} {entry.token}"
        kept = None if environ is None else servers.kept_token(environ, key)

        def keep(token: SignedToken) -> None:
            if environ is not None:
                servers.keep_token(environ, key, servers.KeptToken(token.text, token.until))

        old = None if kept is None else SignedToken(kept.text, kept.until)
        super().__init__(TcpEndpoint(entry.url, entry.fingerprint, login, old, keep))
        self._url = entry.url

    async def execution(self, project: str, workload: str, command: Sequence[str] | None) -> Execution:
        raise Failure(
            "exec and bash run a command on the workload's machine, not from afar",
            hint="sign in to that machine, and use migctl exec there; migctl logs works from here",
        )

    async def identity(self) -> Identity:
        me = await self.rest("GET", "/me")
        return Identity(
            me["user"], f"{me['through']}, at {self._url}", roles=roles_told(me["roles"]), until=_time(me["expiresAt"])
        )

    async def preview(self, workload: Workload) -> None:
        await self.verdict(workload)

    async def snapshot(self, now: datetime) -> Snapshot:
        me = await self.rest("GET", "/me")
        if not any(one["role"] == "admin" for one in me["roles"]):
            raise Failure(
                "plans are made of all that runs, which is an admin's to see",
                hint="migctl submit --verdict says what would become of a workload",
            )
        return await super().snapshot(now)


def roles_told(roles: Sequence[dict[str, str]]) -> tuple[str, ...]:
    """Roles in words."""
    return tuple(role_told(one["role"], one["project"], one["department"]) for one in roles)


def role_told(role: str, project: str, department: str) -> str:
    """A role and where it counts, in words."""
    where = f"in project {project}" if project else f"in department {department}" if department else "everywhere"
    return f"{role} {where}"


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
