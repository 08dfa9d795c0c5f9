"""The driver's Unix sockets below the kubelet's directory: its own service, and the one for registration."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc

from nodeagent.contract.wire import DRIVER
from nodeagent.dra.claim_index import ClaimRef
from nodeagent.dra.driver import Driver
from nodeagent.dra.health import SERVICES, HealthService
from nodeagent.dra.inflight import InFlight
from nodeagent.dra.registration import RegistrationService
from nodeagent.dra.service import DraService
from nodeagent.dra.stubs import dra_pb2_grpc, health_pb2, registration_pb2_grpc

_MAX_PATH = 107  # of a Unix socket
_CALLS = 64
_GRACE_S = 5.0


class CannotServe(Exception):
    """A socket cannot be created. The text says why and what to do."""


class Plugin:
    """Serves the kubelet from `start` to `stop`. `registered` is called when the kubelet registered the driver."""

    def __init__(
        self, driver: Driver, health: HealthService, kubelet_root: Path, registered: Callable[[], None] = lambda: None
    ) -> None:
        self.endpoint = kubelet_root / "plugins" / DRIVER / "dra.sock"
        self.registry = kubelet_root / "plugins_registry" / f"{DRIVER}-reg.sock"
        self._driver = driver
        self._inflight = InFlight(_CALLS)
        self._service = _server(_CALLS)
        dra_pb2_grpc.add_DRAPluginServicer_to_server(DraService(driver, self._inflight), self._service)
        self._service.add_generic_rpc_handlers(tuple(_health_handler(health, service) for service in SERVICES))
        self._registration = _server(2)
        registration_pb2_grpc.add_RegistrationServicer_to_server(
            RegistrationService(self.endpoint, registered), self._registration
        )

    def start(self) -> None:
        """Open both sockets, the one that the kubelet looks for last. Raises CannotServe."""
        _listen(self._service, self.endpoint)
        _listen(self._registration, self.registry)

    def unprepare(self, ref: ClaimRef) -> None:
        """Unprepare as if the kubelet had called, in order with its calls for the claim. Raises AgentError."""
        self._inflight.start(ref.uid, "unprepare", partial(self._driver.unprepare, ref)).result()

    def serving(self) -> bool:
        """Whether both sockets still exist."""
        return self.endpoint.is_socket() and self.registry.is_socket()

    def stop(self) -> None:
        """Unregister, finish the calls in progress, and close."""
        self.registry.unlink(missing_ok=True)
        self._registration.stop(0).wait()
        self._inflight.close()
        self._service.stop(_GRACE_S).wait()
        self.endpoint.unlink(missing_ok=True)


def _server(calls: int) -> grpc.Server:
    return grpc.server(ThreadPoolExecutor(calls, thread_name_prefix="kubelet"))


def _health_handler(health: HealthService, service: str) -> grpc.GenericRpcHandler:
    """The stream of health under a service's name: the generated code knows one name only."""
    method = grpc.unary_stream_rpc_method_handler(
        health.watch,
        request_deserializer=health_pb2.NodeWatchResourcesRequest.FromString,
        response_serializer=health_pb2.NodeWatchResourcesResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(service, {"NodeWatchResources": method})


def _listen(server: grpc.Server, path: Path) -> None:
    if len(os.fsencode(path)) > _MAX_PATH:
        raise CannotServe(f"{path} is too long for a Unix socket ({_MAX_PATH} bytes): shorten --kubelet-root")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.name == DRIVER:
            path.parent.chmod(0o700)
        path.unlink(missing_ok=True)
        server.add_insecure_port(f"unix://{path}")
        path.chmod(0o600)
    except (OSError, RuntimeError) as e:
        raise CannotServe(f"cannot serve at {path}: {e}; the agent needs the kubelet's directory, as root") from e
    server.start()
