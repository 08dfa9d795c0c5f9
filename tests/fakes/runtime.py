"""A runtime whose workloads write what the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from migctl.backends.http.runtime import ExecEnvironment
from migctl.backends.protocol import NotFound
from migctl.objects import Workload


class FakeRuntime:
    """Output by workload name. `reading` counts the logs being read; None ends what is followed."""

    def __init__(self) -> None:
        self.output: dict[str, list[bytes]] = {}
        self.more: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.reading = 0
        self.beside: list[int] = []
        self.idle = asyncio.Event()

    async def logs(self, workload: Workload, follow: bool, tail: int | None) -> AsyncIterator[bytes]:
        if workload.meta.name not in self.output:
            raise NotFound(f"{workload.meta.name} has written nothing yet", hint="it waits for GPUs")
        lines = self.output[workload.meta.name]
        return self._read(lines if tail is None else lines[len(lines) - tail :], follow)

    async def _read(self, lines: list[bytes], follow: bool) -> AsyncIterator[bytes]:
        self.reading += 1
        self.idle.clear()
        try:
            for line in lines:
                yield line
            while follow and (written := await self.more.get()) is not None:
                yield written
        finally:
            self.reading -= 1
            self.idle.set()

    async def exec_environment(self, workload: Workload, pid: int) -> ExecEnvironment:
        self.beside.append(pid)
        if workload.meta.name not in self.output:
            raise NotFound(f"{workload.meta.name} does not run")
        return ExecEnvironment({"CUDA_VISIBLE_DEVICES": "MIG-1", "NAME": "zażółć"}, "/srv")
