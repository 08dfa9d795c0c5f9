"""The real System: this process's environment, clock and terminal, and the control planes it can reach."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from migctl.cli.session import System
from nodeagent.contract.environment import CGROUP

if TYPE_CHECKING:
    from migctl.cli.contexts.context import Context
    from migctl.cli.contexts.control import Control


def real(clusters_only: bool = False) -> System:
    """clusters_only: as kubectl's plugin, which never speaks to this machine's own control plane."""

    def locate(environ: Mapping[str, str], chosen: str | None) -> Context:
        from migctl.cli.contexts import context
        from migctl.embedded.home import Home

        return context.locate(environ, Home.default().socket, chosen, clusters_only)

    return System(
        environ=os.environ,
        directory=os.getcwd(),
        now=lambda: datetime.now(UTC),
        locate=locate,
        connect=connect,
        execute=execute,
        random_name=lambda: f"job-{os.urandom(2).hex()}",
    )


@contextlib.asynccontextmanager
async def connect(target: Context, environ: Mapping[str, str]) -> AsyncIterator[Control]:
    """The control plane behind this user's socket, or a cluster's."""
    if target.cluster:
        from migctl.cli.contexts import cluster

        async with cluster.connected(target, environ) as control:
            yield control
        return
    if target.server is not None:
        from migctl.cli.contexts.remote import ServerControl

        yield ServerControl(target.server, environ)
        return
    from migctl.cli.contexts.local import LocalControl
    from migctl.embedded.home import Home

    own = LocalControl(Home.default().socket)
    yield own


def execute(command: Sequence[str], environment: Mapping[str, str], directory: str) -> None:
    """Replace this process by the command, in the workload's cgroup where that is allowed.

    Raises OSError without the program or directory.
    """
    os.chdir(directory)
    if cgroup := environment.get(CGROUP):
        with contextlib.suppress(OSError), open(os.path.join(cgroup, "cgroup.procs"), "a") as members:
            members.write(f"{os.getpid()}\n")
    os.execvpe(command[0], list(command), dict(environment))
