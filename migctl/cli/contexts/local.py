"""What `migctl up` offers to commands beyond objects: output, programs beside workloads, the identity."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from migctl.backends.http.client import RemoteControlPlane
from migctl.backends.http.runtime import ExecEnvironment
from migctl.backends.http.wire import Peer
from migctl.backends.protocol import AlreadyExists, ControlPlane, NotFound
from migctl.backends.workload_status import DRAINED
from migctl.cli.contexts.control import Control, Default, Execution, Identity, Manifest, Together
from migctl.objects import Claim, Workload

if TYPE_CHECKING:
    from solver.model.snapshot import Snapshot

SHELLS = ("bash", "sh")
PEER = "the socket of migctl up is yours alone: the system vouches for you"


class LocalEndpoint(ControlPlane, Protocol):
    """What the control plane of one machine answers."""

    async def exec_environment(self, project: str, workload: str) -> ExecEnvironment: ...

    async def whoami(self) -> Peer: ...


class LocalRuntime:
    """Mixed into a control plane whose workloads are processes of this machine."""

    unseen: frozenset[str] = frozenset()

    async def execution(self: LocalEndpoint, project: str, workload: str, command: Sequence[str] | None) -> Execution:
        beside = await self.exec_environment(project, workload)
        if command is None:
            path = beside.environment.get("PATH")
            command = [next((shell for shell in SHELLS if shutil.which(shell, path=path)), SHELLS[-1])]
        return Execution(command, beside.environment, beside.directory)

    async def identity(self: LocalEndpoint) -> Identity:
        peer = await self.whoami()
        return Identity(peer.user, PEER, uid=peer.uid, roles=("admin everywhere",))

    async def snapshot(self: LocalEndpoint, now: datetime) -> Snapshot:
        from migctl.backends.mirror import Mirror
        from migctl.controller import observe

        mirror = Mirror(self)
        await mirror.read()
        return observe.snapshot(mirror, now)

    async def evict(self: LocalEndpoint, claim: Claim, why: str) -> None:
        told = {"evicted": why, "reason": DRAINED, "message": why, "nomination": None}
        await self.delete(await self.patch(claim, {"status": told}, fenced=True))

    async def manifest(self: Control, body: Mapping[str, Any], project: Default, together: Together) -> Manifest:
        from migctl.cli.contexts import local_manifests

        return await local_manifests.understood(self, body, project, together)

    async def preview(self: LocalEndpoint, workload: Workload) -> None:
        from migctl.api.admitting import AdmittingControlPlane

        await AdmittingControlPlane(self).check(workload)
        try:
            await self.get(Workload, workload.meta.name, workload.meta.project)
        except NotFound:
            return
        raise AlreadyExists(f"workload {workload.meta.name!r} exists already")


class LocalControl(LocalRuntime, RemoteControlPlane):
    """Behind the socket of `migctl up`."""
