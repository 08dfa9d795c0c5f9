"""The real World: this process's environment, clock and terminal, and the control plane that `migctl up` runs."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from migctl.cli.session import World
from nodeagent.environment import CGROUP

if TYPE_CHECKING:
    from migctl.cli.control import Control


def real() -> World:
    return World(
        environ=os.environ,
        user=getpass.getuser(),
        directory=os.getcwd(),
        now=lambda: datetime.now(UTC),
        connect=connect,
        execute=execute,
        random_name=lambda: f"job-{os.urandom(2).hex()}",
    )


@contextlib.asynccontextmanager
async def connect(environ: Mapping[str, str]) -> AsyncIterator[Control]:
    """The control plane behind this user's socket."""
    from migctl.backends.remote import RemoteControlPlane
    from migctl.embedded.home import Home

    async with RemoteControlPlane(Home.default().socket) as control:
        yield control


def execute(command: Sequence[str], environment: Mapping[str, str], directory: str) -> None:
    """Become the command, in the workload's cgroup where it may. Raises OSError without the program or directory."""
    os.chdir(directory)
    if cgroup := environment.get(CGROUP):
        with contextlib.suppress(OSError), open(os.path.join(cgroup, "cgroup.procs"), "a") as members:
            members.write(f"{os.getpid()}\n")
    os.execvpe(command[0], list(command), dict(environment))
