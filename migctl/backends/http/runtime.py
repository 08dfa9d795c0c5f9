"""The interface between the API and what runs the workloads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from migctl.objects import Workload


class ExecEnvironment(msgspec.Struct, frozen=True, rename="camel"):
    """How a command is run beside a workload: all its variables, and where it starts."""

    environment: dict[str, str]
    directory: str


class WorkloadRuntime(Protocol):
    """Runs workloads. The calls raise NotFound for a workload without output or processes."""

    async def logs(self, workload: Workload, follow: bool, tail: int | None) -> AsyncIterator[bytes]:
        """The output of the workload's newest attempts, in pieces: the last `tail` lines of it, or all.

        follow: continue with new output until the workload ends or the iterator is closed.
        """
        ...

    async def exec_environment(self, workload: Workload, pid: int) -> ExecEnvironment:
        """How the process of this pid runs a command beside the workload: it counts as the workload's from now on."""
        ...
