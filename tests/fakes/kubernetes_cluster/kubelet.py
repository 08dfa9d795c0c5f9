"""A node's kubelet: prepares claims through the DRA plugin, runs pods without processes, ends them.

A failed Prepare is tried again when the pod changes, or much later. Unprepare comes before the
pod's terminal phase; with a grace period of 0 the pod is deleted first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.storage import Json, copied
from tests.fakes.kubernetes_cluster.standin import StandIn


class Plugin(Protocol):
    """The node's DRA plugin."""

    async def prepare(self, claim: Json) -> None:
        """Raises PrepareFailed."""
        ...

    async def unprepare(self, uid: str) -> None: ...


class PrepareFailed(Exception):
    pass


class Kubelet(StandIn):
    """Runs the pods of one node. `ends` says how a pod that has started ends: its exit code, None: it runs on."""

    watches = ("pods",)

    def __init__(
        self,
        operations: Operations,
        node: str,
        plugin: Plugin | None,
        ends: Callable[[Json], int | None] = lambda pod: None,
    ) -> None:
        super().__init__(operations)
        self.node = node
        self.plugin = plugin
        self.alive = True
        self.prepared: dict[str, str] = {}
        """Claims that are prepared, by pod."""
        self.attempts = 0
        self._ends = ends
        self._tried: dict[str, str] = {}

    async def handle(self, plural: str, change: str, obj: Json) -> None:
        if obj["spec"].get("nodeName") != self.node or not self.alive:
            return
        if change == "DELETED":
            await self._unprepare(obj)
            return
        newest = self.get("pods", obj["metadata"]["namespace"], obj["metadata"]["name"])
        if newest is None or newest["metadata"]["uid"] != obj["metadata"]["uid"]:
            await self._unprepare(obj)
        elif "deletionTimestamp" in newest["metadata"]:
            await self._end(newest, None)
        elif newest["status"].get("phase", "Pending") == "Pending":
            await self._start(newest)

    async def look_again(self) -> None:
        """What a restart, or the periodic sync, does: every pod of the node is looked at anew."""
        self._tried.clear()
        uids = {pod["metadata"]["uid"] for pod in self.api.storage.all("pods")}
        for ended in [pod for pod in self.prepared if pod not in uids]:
            await self._attempt(lambda claim=self.prepared[ended]: self._give_back(claim))  # type: ignore[misc]
            self.prepared.pop(ended, None)
        for pod in list(self.api.storage.all("pods")):
            await self.handle("pods", "MODIFIED", pod)

    async def finish(self, pod: Json, exit_code: int) -> None:
        """The pod's process ends by itself."""
        await self._end(pod, exit_code)

    async def _start(self, pod: Json) -> None:
        uid, version = pod["metadata"]["uid"], pod["metadata"]["resourceVersion"]
        if self._tried.get(uid) == version:
            return
        self._tried[uid] = version
        self.attempts += 1
        for status in pod["status"].get("resourceClaimStatuses", []):
            claim = self.get("resourceclaims", pod["metadata"]["namespace"], status["resourceClaimName"])
            if claim is None or self.plugin is None or "allocation" not in claim["status"]:
                return
            try:
                await self.plugin.prepare(claim)
            except PrepareFailed:
                self._say_that_it_has_begun(pod)
                return
            self.prepared[uid] = claim["metadata"]["uid"]
        state = {"running": {"startedAt": self.api.now()}}
        statuses = [{"name": c["name"], "state": state} for c in pod["spec"]["containers"]]
        self.set_status("pods", pod, phase="Running", startTime=self.api.now(), containerStatuses=statuses)
        code = self._ends(pod)
        if code is not None:
            await self._end(pod, code)

    def _say_that_it_has_begun(self, pod: Json) -> None:
        """Kubelet writes the start time before it prepares anything."""
        if "startTime" not in pod["status"]:
            self.set_status("pods", pod, startTime=self.api.now())
            newest = self.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
            if newest is not None:
                self._tried[pod["metadata"]["uid"]] = newest["metadata"]["resourceVersion"]

    async def _end(self, pod: Json, exit_code: int | None) -> None:
        """Stop the pod: by itself with an exit code, or because it is deleted."""
        if not await self._unprepare(pod):
            return
        newest = self.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        if newest is None or newest["metadata"]["uid"] != pod["metadata"]["uid"]:
            return
        if newest["status"].get("phase") not in ("Succeeded", "Failed"):
            code = 137 if exit_code is None else exit_code
            state = {"terminated": {"exitCode": code, "finishedAt": self.api.now()}}
            statuses = [{"name": c["name"], "state": state} for c in newest["spec"]["containers"]]
            phase = "Failed" if code else "Succeeded"
            self.set_status("pods", newest, phase=phase, containerStatuses=statuses)
        if "deletionTimestamp" in newest["metadata"]:
            fresh = self.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
            if fresh is not None:
                ended = copied(fresh)
                ended["metadata"]["deletionGracePeriodSeconds"] = 0
                self.update("pods", fresh, ended)

    async def _unprepare(self, pod: Json) -> bool:
        """Whether the pod's devices are given back."""
        uid = pod["metadata"]["uid"]
        claim = self.prepared.get(uid)
        if claim is None:
            return True
        if not await self._attempt(lambda: self._give_back(claim)):
            return False
        self.prepared.pop(uid, None)
        return True

    async def _give_back(self, claim: str) -> None:
        if self.plugin is None:
            raise PrepareFailed("the driver is not registered")
        await self.plugin.unprepare(claim)

    @staticmethod
    async def _attempt(call: Callable[[], Awaitable[None]]) -> bool:
        try:
            await call()
        except PrepareFailed:
            return False
        return True
