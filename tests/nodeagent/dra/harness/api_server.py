"""A fake API server in a thread of its own, for agents that are processes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from nodeagent.contract.wire import DRIVER, allocation_to_json, device_name
from solver.model.demand import DeviceShare, Grant
from tests.fakes.kubernetes_api.faults import Fault
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.rbac import Authorizer
from tests.fakes.kubernetes_api.server import FakeApi
from tests.fakes.kubernetes_api.storage import Json, Storage
from tests.fakes.kubernetes_api.users import ADMIN
from tests.limits import WAIT_S

T = TypeVar("T")
NAMESPACE = "team-a"
_KUBECONFIG = """\
current-context: here
contexts: [{{name: here, context: {{cluster: here, user: agent}}}}]
clusters: [{{name: here, cluster: {{server: "{url}"}}}}]
users: [{{name: agent, user: {{token: "migctl-system:migctl-agent:{node}"}}}}]
"""


def until(holds: Callable[[], object]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class ApiServer:
    """Agents have the permissions of the manifests; what is called here, an admin does."""

    def __init__(self) -> None:
        self._fake = FakeApi(Operations(Storage(), Authorizer.of_manifests()))
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api-server", daemon=True)

    def __enter__(self) -> ApiServer:
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        self.call(lambda o: o.create(ADMIN, BY_PLURAL["namespaces"], "", {"metadata": {"name": NAMESPACE}}))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(WAIT_S)

    def _run(self) -> None:
        async def serve() -> None:
            async with self._fake.serving():
                self._ready.set()
                await self._over.wait()

        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(serve())

    def call(self, act: Callable[[Operations], T]) -> T:
        """Do something to the objects, in the server's own thread."""

        async def acted() -> T:
            return act(self._fake.operations)

        return asyncio.run_coroutine_threadsafe(acted(), self._loop).result(WAIT_S)

    def kubeconfig(self, path: Path, node: str) -> Path:
        """Write what an agent of the node needs."""
        path.write_text(_KUBECONFIG.format(url=self._fake.url, node=node))
        return path

    def allocate(self, name: str, node: str, shares: Sequence[DeviceShare]) -> str:
        """A claim with an allocation; its uid."""
        kind = BY_PLURAL["resourceclaims"]
        grant = Grant(node, tuple(shares))
        indices = {share.gpu: index for index, share in enumerate(grant.devices)}
        allocation = allocation_to_json(grant, lambda s: device_name(indices[s.gpu], s), datetime.now(UTC))
        body: Json = {"metadata": {"name": name}, "spec": {"devices": {"requests": [{"name": "gpu"}]}}}

        def act(operations: Operations) -> str:
            made = operations.create(ADMIN, kind, NAMESPACE, body)
            allocated = {**made, "status": {"allocation": allocation}}
            return str(operations.change(ADMIN, kind, made, allocated, "status")["metadata"]["uid"])

        return self.call(act)

    def delete(self, plural: str, name: str, namespace: str = "") -> None:
        self.call(lambda o: o.delete(BY_PLURAL[plural], namespace, name))

    def gpu_node(self, name: str) -> Json | None:
        """The status of a GpuNode, None where nothing was reported."""
        found = self.call(lambda o: o.storage.get("gpunodes", "", name))
        return (found or {}).get("status") or None

    def devices(self, node: str) -> list[Json]:
        """The devices in a node's ResourceSlices."""
        slices = self.call(lambda o: list(o.storage.all("resourceslices")))
        ours = [s["spec"] for s in slices if (s["spec"]["nodeName"], s["spec"]["driver"]) == (node, DRIVER)]
        return [device for spec in ours for device in spec["devices"]]

    def fail(self, fault: Fault) -> None:
        """Let every request meet a fault first."""
        self._fake.faults.before.append(fault)

    def down(self, down: bool) -> None:
        """Answer nobody, or everybody again."""
        self._fake.faults.down = down
