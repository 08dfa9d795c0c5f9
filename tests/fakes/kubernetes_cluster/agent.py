"""A node agent without hardware: holds claims, refuses what overlaps, reports as the real one does.

Its HTTP is real and its user is the agents' service account, so that its permissions are tested too.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import CLAIMS, GPU_NODES
from migctl.backends.protocol import ControlPlaneError, NotFound
from nodeagent.contract.allocation import Allocation, NodeReport
from nodeagent.contract.wire import NotOurs, allocation_from_json, report_to_json
from solver.model.catalog import find
from solver.model.cluster import Backing, Gpu, Instance, InstanceState
from solver.model.demand import DeviceShare
from solver.model.occupation import all_occupied, excludes, overfull
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_cluster.kubelet import PrepareFailed


class FakeAgent:
    """One node's agent. `held` outlives a restart, as hardware and records do."""

    def __init__(self, api: KubernetesApi, node: str, gpus: tuple[Gpu, ...]) -> None:
        self._api = api
        self.node = node
        self.gpus = gpus
        self.held: dict[str, Allocation] = {}
        self.history: list[tuple[str, str]] = []
        self.up = True
        """Whether its process runs; one that does not run answers and writes nothing."""
        self.reported = datetime(2030, 1, 1, tzinfo=UTC)
        """What its clock says, at every report."""
        self.broken = ""
        """Why every Prepare fails, "" where none does."""
        self._generation = 1
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Publish the report whenever it changes, until cancelled."""
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not self.up:
                continue
            try:
                await self._publish()
            except ControlPlaneError:
                self._changed.set()
                await asyncio.sleep(0.05)

    def changed(self) -> None:
        self._generation += 1
        self._changed.set()

    def beat(self, now: datetime) -> None:
        """Report at this time, as a heartbeat does."""
        self.reported = now
        self.changed()

    async def prepare(self, claim: Json) -> None:
        if not self.up:
            raise PrepareFailed("the driver is not registered")
        if self.broken:
            raise PrepareFailed(self.broken)
        meta = claim["metadata"]
        try:
            read = await self._api.get(CLAIMS, meta["name"], meta["namespace"])
            allocation = allocation_from_json(msgspec.json.decode(read))
        except (ControlPlaneError, NotOurs) as error:
            raise PrepareFailed(str(error)) from None
        if allocation.claim != meta["uid"] or allocation.node != self.node:
            raise PrepareFailed("the allocation is not this node's")
        if allocation.claim in self.held:
            return
        if not self._free(allocation):
            raise PrepareFailed("its devices are held by another claim")
        self.held[allocation.claim] = allocation
        self.history.append(("prepare", allocation.claim))
        self.changed()

    async def unprepare(self, uid: str) -> None:
        if not self.up:
            raise PrepareFailed("the driver is not registered")
        allocation = self.held.pop(uid, None)
        if allocation is None:
            return
        self.history.append(("unprepare", uid))
        for share in (share for share in allocation.devices if share.backing is Backing.MIG):
            self.gpus = tuple(_with_idle(gpu, share) if gpu.uuid == share.gpu else gpu for gpu in self.gpus)
        self.changed()

    def _free(self, allocation: Allocation) -> bool:
        for share in allocation.devices:
            theirs = [s for other in self.held.values() for s in other.devices if s.gpu == share.gpu]
            if any(excludes(share, other) for other in theirs):
                return False
            if share.backing is not Backing.MIG and overfull((*theirs, share)):
                return False
        return True

    def report(self) -> NodeReport:
        held = [(uid, share) for uid, allocation in self.held.items() for share in allocation.devices]
        gpus = [all_occupied(gpu, ((uid, share) for uid, share in held if share.gpu == gpu.uuid)) for gpu in self.gpus]
        models = {gpu.model: find(gpu.model) for gpu in self.gpus}
        return NodeReport(
            self.node, "boot", self._generation, tuple(gpus), models, allocations=tuple(self.held.values())
        )

    async def _publish(self) -> None:
        status = {"report": report_to_json(self.report()), "reported": self.reported.isoformat(), "ready": True}
        try:
            await self._api.patch(GPU_NODES, self.node, {"status": status}, subresource="status")
        except NotFound:
            body: dict[str, Any] = {
                "apiVersion": "migctl.dev/v1alpha1",
                "kind": "GpuNode",
                "metadata": {"name": self.node},
                "spec": {},
            }
            await self._api.create(GPU_NODES, body)
            await self._api.patch(GPU_NODES, self.node, {"status": status}, subresource="status")


def _with_idle(gpu: Gpu, share: DeviceShare) -> Gpu:
    """The GPU after a claim left its instance behind, in place of idle ones that it had replaced."""
    mine = Instance(share.profile or "", share.start or 0, share.size, InstanceState.IDLE)
    others = [i for i in gpu.instances if not i.mask & mine.mask]
    return replace(gpu, instances=tuple(sorted((*others, mine), key=lambda i: i.start)))
