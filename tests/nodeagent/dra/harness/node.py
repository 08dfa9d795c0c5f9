"""A machine with its driver on sockets, the agent in this very process, and claims in a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nodeagent.agent import Agent
from nodeagent.cdi.files import SpecFiles
from nodeagent.cdi.simulated import SimulatedGpus
from nodeagent.cdi.sources import Sources, Variables
from nodeagent.contract.wire import allocation_to_json, device_name
from nodeagent.dra.claim_index import ClaimIndex
from nodeagent.dra.driver import Driver
from nodeagent.dra.health import HealthService
from nodeagent.dra.sockets import Plugin
from nodeagent.dra.stubs import dra_pb2
from nodeagent.kubernetes.client import ApiNotFound
from solver.model.demand import DeviceShare, Grant
from tests.nodeagent.dra.harness.kubelet import FakeKubelet
from tests.nodeagent.machines import NODE, Machine, mig


class Node:
    """A machine with its driver on sockets, and the claims that the API server has."""

    def __init__(self, directory: Path, gpus: str = "a100-40gb=1") -> None:
        self.machine = Machine(directory, gpus)
        self.root = directory / "k"
        self.cdi = directory / "cdi"
        self.claims: dict[tuple[str, str], dict[str, Any]] = {}
        self.registered = 0
        self.ledger = ClaimIndex(directory / "claims")
        self.start()

    def start(self) -> None:
        self.agent: Agent = self.machine.agent()
        source = Sources((Variables(), SimulatedGpus(self.machine.state_path, self.root.parent / "containers")))
        driver = Driver(self.agent, self.read, SpecFiles(self.cdi), source, self.ledger, pause=lambda _: None)
        driver.recover()
        self.health = HealthService(now=lambda: 1_000_000.0)
        self.plugin = Plugin(driver, self.health, self.root, self._count)
        self.plugin.start()
        self.kubelet = FakeKubelet(self.root, "team-a")
        self.kubelet.register()

    def stop(self) -> None:
        self.plugin.stop()
        self.agent.close()

    def _count(self) -> None:
        self.registered += 1

    def read(self, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self.claims[namespace, name]
        except KeyError:
            raise ApiNotFound("no such claim") from None

    def allocate(self, name: str, uid: str, share: DeviceShare, node: str = NODE) -> None:
        allocation = allocation_to_json(Grant(node, (share,)), lambda s: device_name(0, s), datetime.now(UTC))
        metadata = {"name": name, "namespace": "team-a", "uid": uid}
        self.claims["team-a", name] = {"metadata": metadata, "status": {"allocation": allocation}}

    def allocate_to_containers(self, name: str, uid: str, shares: Sequence[tuple[str, DeviceShare]]) -> None:
        """A claim with a request for each container: every share with the request that it is for."""
        grant = Grant(NODE, tuple(share for _, share in shares))
        indexes = {gpu["uuid"]: index for index, gpu in enumerate(self.machine.gpus())}
        allocation = allocation_to_json(
            grant, lambda s: device_name(indexes[s.gpu], s), datetime.now(UTC), [request for request, _ in shares]
        )
        metadata = {"name": name, "namespace": "team-a", "uid": uid}
        self.claims["team-a", name] = {"metadata": metadata, "status": {"allocation": allocation}}

    def prepare(self, name: str, uid: str) -> dra_pb2.NodePrepareResourceResponse:
        return self.kubelet.prepare(name, uid)

    def unprepare(self, name: str, uid: str) -> str:
        return self.kubelet.unprepare(name, uid)

    def held(self) -> tuple[str, ...]:
        return self.agent.report().held

    def share(self, profile: str = "2g.10gb", start: int = 0) -> DeviceShare:
        return mig(self.machine.gpu(), profile, start)
