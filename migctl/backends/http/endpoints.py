"""Where a control plane answers, and this user's socket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from migctl.backends.http.unix_socket import check_path
from migctl.backends.protocol import ControlPlaneError, Forbidden, Unavailable

if TYPE_CHECKING:
    import asyncio

Connection: TypeAlias = "tuple[asyncio.StreamReader, asyncio.StreamWriter]"


class Endpoint(Protocol):
    """Opens connections to a control plane.

    host    the Host header
    prefix  what paths begin with
    """

    @property
    def host(self) -> str: ...

    @property
    def prefix(self) -> str: ...

    async def open(self) -> Connection:
        """A connection. Raises OSError, and ControlPlaneError where the other end is not who it should be."""
        ...

    async def headers(self) -> tuple[tuple[str, str], ...]:
        """What a request says of who sends it. Raises ControlPlaneError."""
        ...

    def forget(self) -> bool:
        """After a 401: whether signing in anew may help, which the next request then does."""
        ...

    def unreachable(self, error: Exception) -> ControlPlaneError:
        """What it means that no whole answer came."""
        ...


class SocketEndpoint:
    """The Unix socket of `migctl up`: the kernel says who we are. Raises Invalid for a path that cannot be."""

    host = "migctl"
    prefix = ""

    def __init__(self, path: Path) -> None:
        check_path(path)
        self._path = path

    async def open(self) -> Connection:
        import asyncio

        return await asyncio.open_unix_connection(os.fspath(self._path))

    async def headers(self) -> tuple[tuple[str, str], ...]:
        return ()

    def forget(self) -> bool:
        return False

    def unreachable(self, error: Exception) -> ControlPlaneError:
        if isinstance(error, PermissionError):
            return Forbidden(f"the socket {self._path} is another user's", hint="use your own MIGCTL_HOME")
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return Unavailable(
                f"migctl is not running: nothing answers at {self._path}", hint="start it with `migctl up`"
            )
        return Unavailable(
            f"migctl stopped answering at {self._path}: {error}",
            hint="check that it still runs, or start it with `migctl up`",
        )
