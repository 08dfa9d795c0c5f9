"""A kubelet as far as a DRA driver sees one: it finds sockets, registers drivers, and calls them."""

from __future__ import annotations

from pathlib import Path

import grpc

from nodeagent.contract.wire import DRIVER
from nodeagent.dra.stubs import dra_pb2, dra_pb2_grpc, registration_pb2, registration_pb2_grpc

CALL_S = 45.0
"""What a kubelet waits for a Prepare."""


class FakeKubelet:
    """A kubelet of the root directory `root`. Every call has a connection of its own, as after a restart."""

    def __init__(self, root: Path, namespace: str) -> None:
        self._registry = root / "plugins_registry" / f"{DRIVER}-reg.sock"
        self._namespace = namespace
        self._endpoint = ""

    def register(self) -> registration_pb2.PluginInfo:
        """Ask the driver who it is and take it. Raises grpc.RpcError where nobody serves."""
        with grpc.insecure_channel(f"unix://{self._registry}") as channel:
            stub = registration_pb2_grpc.RegistrationStub(channel)
            info: registration_pb2.PluginInfo = stub.GetInfo(registration_pb2.InfoRequest(), timeout=CALL_S)
            stub.NotifyRegistrationStatus(registration_pb2.RegistrationStatus(plugin_registered=True), timeout=CALL_S)
        self._endpoint = info.endpoint
        return info

    def prepare(self, name: str, uid: str, within_s: float = CALL_S) -> dra_pb2.NodePrepareResourceResponse:
        """The driver's answer for a claim."""
        request = dra_pb2.NodePrepareResourcesRequest(claims=[self._claim(name, uid)])
        with grpc.insecure_channel(f"unix://{self._endpoint}") as channel:
            answer = dra_pb2_grpc.DRAPluginStub(channel).NodePrepareResources(request, timeout=within_s)
        prepared: dra_pb2.NodePrepareResourceResponse = answer.claims[uid]
        return prepared

    def unprepare(self, name: str, uid: str) -> str:
        """The driver's error for a claim, "" where there is none."""
        request = dra_pb2.NodeUnprepareResourcesRequest(claims=[self._claim(name, uid)])
        with grpc.insecure_channel(f"unix://{self._endpoint}") as channel:
            answer = dra_pb2_grpc.DRAPluginStub(channel).NodeUnprepareResources(request, timeout=CALL_S)
        assert uid in answer.claims
        return str(answer.claims[uid].error)

    def _claim(self, name: str, uid: str) -> dra_pb2.Claim:
        return dra_pb2.Claim(namespace=self._namespace, name=name, uid=uid)
