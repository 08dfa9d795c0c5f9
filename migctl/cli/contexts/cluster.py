"""What a cluster offers to commands: its control plane as the kubeconfig's user may use it, and its pods.

Programs beside a workload run through `kubectl exec`, which replaces this process: terminals, signals, window
sizes, exit codes and the credential plugins of clouds are handled there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from migctl.api.admitting import AdmittingControlPlane
from migctl.backends.kubernetes.client.resources import PODS
from migctl.backends.kubernetes.client.transport import Transport, from_kubeconfig, in_cluster
from migctl.backends.kubernetes.meaning import record_of
from migctl.backends.kubernetes.meaning.records import GpuPod
from migctl.backends.kubernetes.stores import eviction
from migctl.backends.kubernetes.user import logs, reading
from migctl.backends.kubernetes.user.claims import UserClaims
from migctl.backends.kubernetes.user.control_plane import user_control_plane
from migctl.backends.kubernetes.user.kinds import SELF
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.kubernetes.user.workload_store import WorkloadStore
from migctl.backends.protocol import Invalid, NotFound
from migctl.cli.contexts.context import Context
from migctl.cli.contexts.control import Default, Execution, Identity, Manifest, Together
from migctl.cli.failures import Failure
from migctl.clock import system_clock
from migctl.objects import Claim, Department, Project, Workload, WorkloadVerdict

if TYPE_CHECKING:
    from solver.model.snapshot import Snapshot

A_SHELL = ("sh", "-c", "command -v bash >/dev/null && exec bash; exec sh")


@contextlib.asynccontextmanager
async def connected(target: Context, environ: Mapping[str, str]) -> AsyncIterator[ClusterControl]:
    """Raises Unavailable with the reason where the kubeconfig gives no access."""
    access = await from_kubeconfig(target.kubeconfig, target.context) if target.context else in_cluster()
    async with Transport(access) as transport:
        yield ClusterControl(PermittedApi(transport), target, environ)


class ClusterControl(AdmittingControlPlane):
    """One cluster, with the permissions of one user."""

    def __init__(self, api: PermittedApi, target: Context, environ: Mapping[str, str]) -> None:
        self._api = api
        self._target = target
        self._environ = environ
        self._workloads = WorkloadStore(api, UserClaims(api))
        super().__init__(user_control_plane(api, self._workloads))

    async def take_back(self, queue: Project | Department) -> None:
        """Nothing: on a cluster roles are RBAC's."""

    @property
    def unseen(self) -> frozenset[str]:
        return frozenset(self._api.unseen)

    async def logs(
        self, project: str, workload: str, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[bytes]:
        found = await self._workloads.find(workload, project)
        async for piece in logs.read(self._api, found, follow, tail):
            yield piece

    async def execution(self, project: str, workload: str, command: Sequence[str] | None) -> Execution:
        pods = reading.newest_attempts((await self._workloads.find(workload, project)).pods)
        pod = next((pod for pod in pods if pod.status.phase == "Running"), None)
        if pod is None:
            raise NotFound(f"workload {workload!r} has no pod that runs", hint=f"migctl why {workload} -p {project}")
        if shutil.which("kubectl", path=self._environ.get("PATH")) is None:
            raise Failure(
                "kubectl is not on the PATH",
                cause="on a cluster, exec and bash go through it",
                hint="https://kubernetes.io/docs/tasks/tools tells how to install it",
            )
        context = ["--context", self._target.context] if self._target.context else []
        terminal = ["--stdin", "--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else ["--stdin"]
        pod_arguments = ["--namespace", project, pod.metadata.name, "--container", reading.container_name(pod)]
        arguments = ["kubectl", *context, "exec", *terminal, *pod_arguments, "--", *(command or A_SHELL)]
        paths = {"KUBECONFIG": self._target.kubeconfig} if self._target.kubeconfig else {}
        return Execution(arguments, {**self._environ, **paths}, os.getcwd())

    async def identity(self) -> Identity:
        body = {"apiVersion": SELF.api, "kind": SELF.title}
        user = SELF.one.decode(await self._api.create(SELF, body)).status.user_info
        server = self._api.transport.access.configuration.host
        return Identity(user.username, f"by the kubeconfig, at {server}", user.groups)

    async def snapshot(self, now: datetime) -> Snapshot:
        from migctl.cli.contexts import cluster_snapshot

        return await cluster_snapshot.snapshot(self._api, now)

    async def verdict(self, workload: Workload) -> WorkloadVerdict:
        """Decided here, on what the user may see of the cluster; the API server's admission counts, too."""
        from migctl.cli.contexts import cluster_snapshot

        await self.preview(workload)
        return await cluster_snapshot.verdict(self._api, workload, system_clock())

    async def evict(self, claim: Claim, why: str) -> None:
        found = record_of.pod(PODS.one.decode(await self._api.get(PODS, claim.meta.name, claim.meta.project)))
        if not isinstance(found, GpuPod):
            raise NotFound(f"there is no pod {claim.meta.name!r} with GPUs in project {claim.meta.project!r}")
        if found.owner is not None and found.owner.kind == "DaemonSet":
            raise Invalid(f"pod {found.name} is a DaemonSet's, which would make it again on its node")
        await eviction.evict(self._api, found)

    async def manifest(self, body: Mapping[str, Any], project: Default, together: Together) -> Manifest:
        from migctl.cli.contexts import cluster_manifests

        return await cluster_manifests.understood(self._api, body, project)

    async def preview(self, workload: Workload) -> None:
        """A dry run on the API server: its admission and the user's permissions count."""
        await self.check(workload)
        await self._workloads.dry_run(workload)
