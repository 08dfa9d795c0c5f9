"""The HTTP application: objects, workloads' output, identity, health, metrics and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from migctl.api import docs_page
from migctl.api.admitting import AdmittingControlPlane
from migctl.api.objects import object_routes
from migctl.api.v1.app import PREFIX
from migctl.api.workloads import Judge, verdict_route, workload_routes
from migctl.backends.http.runtime import WorkloadRuntime
from migctl.backends.http.wire import HEARTBEAT_S, JSON, Error, error_body, error_status
from migctl.backends.protocol import ControlPlaneError, Invalid, Unavailable
from migctl.objects import encode


def create_app(
    control_plane: AdmittingControlPlane,
    runtime: WorkloadRuntime,
    *,
    v1: FastAPI | None = None,
    verdict: Judge | None = None,
    ready: Callable[[], bool] = lambda: True,
    metrics: Callable[[], bytes] | None = None,
    heartbeat_s: float = HEARTBEAT_S,
) -> FastAPI:
    """The API over a control plane, on the socket of the machine's owner.

    v1           the public REST API, served below its prefix; None: not at all
    verdict      says what would become of a workload; None: nobody does here
    ready        whether decisions are being made; what /readyz says
    metrics      what /metrics says, in Prometheus's text format; None: there is no such path
    heartbeat_s  longest silence of a watch
    """
    app = FastAPI(title="migctl", openapi_url=None)
    closing = asyncio.Event()
    app.state.closing = closing
    app.include_router(workload_routes(control_plane, runtime, closing))
    if verdict is not None:
        app.include_router(verdict_route(verdict))
    app.include_router(object_routes(control_plane, closing, heartbeat_s))
    _add_identity_and_health(app, ready)
    if metrics is not None:
        _add_metrics(app, metrics)
    _add_errors(app)
    if v1 is not None:
        v1.state.closing = closing
        app.mount(PREFIX, v1)
        app.include_router(docs_page.routes)
    return app


def _add_identity_and_health(app: FastAPI, ready: Callable[[], bool]) -> None:
    @app.get("/whoami")
    async def whoami(request: Request) -> Response:
        return Response(encode(request.state.peer), media_type=JSON)

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type=JSON)

    @app.get("/readyz")
    async def readyz() -> Response:
        if not ready():
            raise Unavailable("the controller has not seen all objects yet", hint="try again in a moment")
        return Response(b'{"status":"ok"}', media_type=JSON)


def _add_metrics(app: FastAPI, read: Callable[[], bytes]) -> None:
    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await asyncio.to_thread(read), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ControlPlaneError)
    async def refused(_: Request, error: ControlPlaneError) -> Response:
        return _error(error_status(error), error_body(error))

    @app.exception_handler(RequestValidationError)
    async def misused(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        parameter = str(first["loc"][-1])
        return _error(400, error_body(Invalid(f"{parameter}: {first['msg']}", field=parameter)))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        code = "NotFound" if error.status_code == 404 else "NotAllowed"
        return _error(error.status_code, Error(code, f"{request.method} {request.url.path}: {error.detail}"))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return _error(500, Error("Internal", f"this is a bug of migctl: {error!r}", hint="its log tells more"))


def _error(status: int, body: Error) -> Response:
    return Response(encode(body), status, media_type=JSON)
