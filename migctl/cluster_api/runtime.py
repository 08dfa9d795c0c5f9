"""The output of a cluster's workloads, read with the caller's own token."""

from __future__ import annotations

from collections.abc import AsyncIterator

from migctl.access.ending import Ended, while_allowed
from migctl.backends.http.runtime import ExecEnvironment
from migctl.backends.kubernetes.user import logs
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.kubernetes.user.workload_store import WorkloadStore
from migctl.backends.protocol import Invalid
from migctl.objects import Workload


class CallersRuntime:
    """A WorkloadRuntime for one caller. ended: what ends his streams."""

    def __init__(self, api: PermittedApi, workloads: WorkloadStore, ended: Ended) -> None:
        self._api = api
        self._ended = ended
        self._workloads = workloads

    async def logs(self, workload: Workload, follow: bool, tail: int | None) -> AsyncIterator[bytes]:
        found = await self._workloads.find(workload.meta.name, workload.meta.project)
        return while_allowed(logs.read(self._api, found, follow, tail), self._ended)

    async def exec_environment(self, workload: Workload, pid: int) -> ExecEnvironment:
        raise Invalid("programs beside a workload of a cluster run through kubectl exec")
