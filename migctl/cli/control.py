"""What a command can reach: a control plane, and what its workloads' runtime adds to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from migctl.api.runtime import ExecEnvironment
from migctl.api.wire import Peer
from migctl.backends.protocol import ControlPlane


class Runtime(Protocol):
    """What a control plane offers that is not an object."""

    def logs(self, project: str, workload: str, follow: bool = False, tail: int | None = None) -> AsyncIterator[bytes]:
        """What the workload wrote, in pieces; with follow, until it ends."""
        ...

    async def exec_environment(self, project: str, workload: str) -> ExecEnvironment: ...

    async def whoami(self) -> Peer: ...


class Control(ControlPlane, Runtime, Protocol):
    """All that a command can reach."""
