"""What a workload's pods wrote: one pod's as it is, several pods' line by line after their names."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from migctl.backends.kubernetes.stores.watching import follow as changes
from migctl.backends.kubernetes.user import reading
from migctl.backends.kubernetes.user.kinds import PODS, SubmittedPod
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.kubernetes.user.workload_store import WorkloadObject
from migctl.backends.pod_logs import joined
from migctl.backends.protocol import ChangeType, NotFound

NOT_STARTED = "Pending"


async def read(api: PermittedApi, found: WorkloadObject, follow: bool, tail: int | None) -> AsyncIterator[bytes]:
    """The output of the newest attempts, in pieces. Raises NotFound where there is none yet, or no more."""
    pods = reading.newest_attempts(found.pods)
    if not follow:
        pods = [pod for pod in pods if pod.status.phase != NOT_STARTED]
    if not pods:
        raise _nothing(found)
    query = {**({"follow": "true"} if follow else {}), **({} if tail is None else {"tailLines": str(tail)})}
    written = {pod.metadata.name: _pod(api, pod, query) for pod in pods}
    async with contextlib.aclosing(joined(written, follow)) as pieces:
        async for piece in pieces:
            yield piece


def _nothing(found: WorkloadObject) -> NotFound:
    own, status = found.workload.meta, found.workload.status
    if status.phase.finished:
        return NotFound(
            f"workload {own.name!r} has no pods any more, and their output went with them",
            hint="a cluster stores it as long as the pods: give --ttl-after-finish, or collect it",
        )
    return NotFound(f"workload {own.name!r} has written nothing yet: it is {status.phase}", f"migctl why {own.name}")


async def _pod(api: PermittedApi, pod: SubmittedPod, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
    """One pod's output; one that has not started is waited for."""
    if not await _started(api, pod):
        return
    path = PODS.path(pod.metadata.namespace, pod.metadata.name, "log")
    parameters = {**query, "container": reading.container_name(pod)}
    async with api.transport.stream(path, parameters, None) as pieces:
        async for piece in pieces:
            yield piece


async def _started(api: PermittedApi, pod: SubmittedPod) -> bool:
    """Whether the pod has started, as soon as it has; False where it is deleted before."""
    own = pod.metadata
    if pod.status.phase != NOT_STARTED:
        return True
    watch = changes(api, PODS, own.resource_version, lambda raw: raw, own.namespace)
    async with contextlib.aclosing(watch) as seen:
        async for change in seen:
            if change.object.metadata.uid == own.uid and change.type is ChangeType.DELETED:
                return False
            if change.object.metadata.uid == own.uid and change.object.status.phase != NOT_STARTED:
                return True
    return False
