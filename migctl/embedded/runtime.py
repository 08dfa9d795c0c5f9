"""Logs and exec environments of running workloads, for the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from migctl.backends.http.runtime import ExecEnvironment
from migctl.backends.mirror import Mirror
from migctl.backends.pod_logs import joined
from migctl.backends.protocol import Conflict
from migctl.backends.workload_status import index_count
from migctl.embedded.kubelet import logs
from migctl.embedded.kubelet.runner import Runner, environment
from migctl.objects import Claim, Phase, Workload
from nodeagent.contract.environment import CLAIM

MOST_FOLLOWED = 100
"""Pods whose output is followed at once; the others' is read when they have written it."""


class EmbeddedRuntime:
    """Logs and exec environments of this machine's workloads."""

    def __init__(self, mirror: Mirror, runner: Runner) -> None:
        self._mirror = mirror
        self._runner = runner

    async def logs(self, workload: Workload, follow: bool, tail: int | None) -> AsyncIterator[bytes]:
        """Each pod's output, of several pods line by line after their names; with follow, until all have ended."""
        folder = self._runner.runs / workload.meta.uid
        pods = sorted(int(pod.name) for pod in folder.glob("*") if pod.name.isdecimal())
        if follow:
            pods = sorted({*pods, *range(index_count(workload))})[:MOST_FOLLOWED]
        written = {
            f"{workload.meta.name}-{pod}": logs.read(
                folder / str(pod) / "log", tail, lambda: follow and self._alive(workload)
            )
            for pod in pods or [0]
        }
        return joined(written, follow)

    async def exec_environment(self, workload: Workload, pid: int) -> ExecEnvironment:
        """The environment of the workload's first running pod, which the process joins. Raises Conflict."""
        claim = next((c for c in self._claims(workload) if c.status.phase is Phase.RUNNING), None)
        prepared = await asyncio.to_thread(self._runner.agent.prepared_for, claim.meta.uid) if claim else None
        if claim is None or prepared is None:
            why = "ending" if claim else workload.status.phase
            raise Conflict(
                f"{workload.meta.name} is {why}, not Running",
                f"migctl describe {workload.meta.name} -p {workload.meta.project}",
            )
        await asyncio.to_thread(self._runner.processes.join, claim.meta.uid, pid)
        return ExecEnvironment(
            environment={**environment(workload, claim, prepared), CLAIM: claim.meta.uid},
            directory=workload.spec.directory or str(Path.home()),
        )

    def _claims(self, workload: Workload) -> list[Claim]:
        mine = (c for c in self._mirror.all(Claim) if c.spec.workload_uid == workload.meta.uid)
        return sorted(mine, key=lambda claim: claim.spec.index)

    def _alive(self, workload: Workload) -> bool:
        newest = self._mirror.get(Workload, workload.meta.name, workload.meta.project)
        return (
            newest is not None
            and newest.meta.uid == workload.meta.uid
            and newest.meta.deleting is None
            and not newest.status.phase.finished
        )
