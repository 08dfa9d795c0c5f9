"""The kubelet's calls: every claim of a request has its entry in the response, with the text of a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from nodeagent.contract.allocation import AgentError
from nodeagent.dra.claim_index import ClaimRef
from nodeagent.dra.driver import ClaimDevice, Driver
from nodeagent.dra.inflight import InFlight
from nodeagent.dra.stubs import dra_pb2, dra_pb2_grpc

TIMEOUT_S = 40.0
"""The kubelet's own is 45 s; then it calls again, and that call waits for the same work."""
_MARGIN_S = 1.0

_log = structlog.get_logger("nodeagent")

A = TypeVar("A")


class CallContext(Protocol):
    """The gRPC context of a call, as far as it is used."""

    def time_remaining(self) -> float | None: ...


class DraService(dra_pb2_grpc.DRAPluginServicer):
    """DRAPlugin v1 over a Driver."""

    def __init__(self, driver: Driver, inflight: InFlight) -> None:
        self._driver, self._inflight = driver, inflight

    def NodePrepareResources(  # noqa: N802, the protocol's name
        self, request: dra_pb2.NodePrepareResourcesRequest, context: CallContext
    ) -> dra_pb2.NodePrepareResourcesResponse:
        """Prepare claims; their devices name what the container runtime injects."""
        claims = self._each(request.claims, "prepare", self._driver.prepare, context)
        return dra_pb2.NodePrepareResourcesResponse(
            claims={
                uid: dra_pb2.NodePrepareResourceResponse(error=error, devices=[_device(d) for d in prepared or ()])
                for uid, prepared, error in claims
            }
        )

    def NodeUnprepareResources(  # noqa: N802, the protocol's name
        self, request: dra_pb2.NodeUnprepareResourcesRequest, context: CallContext
    ) -> dra_pb2.NodeUnprepareResourcesResponse:
        """Unprepare claims."""
        claims = self._each(request.claims, "unprepare", self._driver.unprepare, context)
        return dra_pb2.NodeUnprepareResourcesResponse(
            claims={uid: dra_pb2.NodeUnprepareResourceResponse(error=error) for uid, _, error in claims}
        )

    def _each(
        self, claims: Iterable[dra_pb2.Claim], kind: str, act: Callable[[ClaimRef], A], context: CallContext
    ) -> list[tuple[str, A | None, str]]:
        """Uid, result and error of every claim, all of them in parallel."""
        refs = [ClaimRef(c.namespace, c.name, c.uid) for c in claims]
        futures = [self._inflight.start(ref.uid, kind, partial(act, ref)) for ref in refs]
        remaining = context.time_remaining()
        wait(futures, TIMEOUT_S if remaining is None else max(0.0, min(TIMEOUT_S, remaining - _MARGIN_S)))
        return [_outcome(ref, kind, future) for ref, future in zip(refs, futures, strict=True)]


def _outcome(ref: ClaimRef, kind: str, future: Future[Any]) -> tuple[str, Any, str]:
    if not future.done():
        return ref.uid, None, f"still busy to {kind} {ref.namespace}/{ref.name}: ask again"
    error = future.exception()
    if error is None:
        return ref.uid, future.result(), ""
    if not isinstance(error, AgentError):
        _log.error("failed", what=kind, claim=ref.uid, exc_info=error)
        return ref.uid, None, f"the node agent failed: {type(error).__name__}: {error}; see its log"
    return ref.uid, None, str(error)


def _device(prepared: ClaimDevice) -> Any:
    device = prepared.device
    return dra_pb2.Device(
        request_names=[device.request],
        pool_name=device.pool,
        device_name=device.name,
        cdi_device_ids=list(prepared.cdi_ids),
    )
