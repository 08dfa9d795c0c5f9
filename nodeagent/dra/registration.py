"""Registration with the kubelet: it finds the socket, reads what it is, and says whether it registered the driver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from nodeagent.contract.wire import DRIVER
from nodeagent.dra.stubs import registration_pb2, registration_pb2_grpc

SERVICES = ("v1.DRAPlugin",)

_log = structlog.get_logger("nodeagent")


class RegistrationService(registration_pb2_grpc.RegistrationServicer):
    """`registered` is called when the kubelet registered the driver: after its start, and after ours."""

    def __init__(self, endpoint: Path, registered: Callable[[], None]) -> None:
        self._endpoint, self._registered = endpoint, registered

    def GetInfo(  # noqa: N802, the protocol's name
        self, request: registration_pb2.InfoRequest, context: object
    ) -> registration_pb2.PluginInfo:
        """The driver's name and where its service is."""
        return registration_pb2.PluginInfo(
            type="DRAPlugin", name=DRIVER, endpoint=str(self._endpoint), supported_versions=SERVICES
        )

    def NotifyRegistrationStatus(  # noqa: N802, the protocol's name
        self, request: registration_pb2.RegistrationStatus, context: object
    ) -> registration_pb2.RegistrationStatusResponse:
        """Whether the kubelet registered the driver."""
        if request.plugin_registered:
            _log.info("registered with the kubelet")
            self._registered()
        else:
            _log.error("the kubelet refused the driver", error=request.error)
        return registration_pb2.RegistrationStatusResponse()
