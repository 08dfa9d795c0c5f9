"""The HTTP applications: on the socket for the machine's owner, on TCP for everybody who signs in.

Both have objects, workloads' output, health, metrics and the public REST API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from migctl.access.audit.trail import AuditTrail
from migctl.access.caller import OWNER, DepartmentOf, place_of
from migctl.access.ending import Ended
from migctl.access.identity.sign_in import SignIn
from migctl.access.rights import Verb
from migctl.api import docs_page
from migctl.api.admitting import AdmittingControlPlane
from migctl.api.browser import browser_routes
from migctl.api.doors import Door, Ending, owners_door, owners_streams
from migctl.api.objects import object_routes
from migctl.api.requests import NumberedRequests
from migctl.api.tcp.guard import Credentials, Guard
from migctl.api.tcp.listener import Listener
from migctl.api.v1.app import PREFIX
from migctl.api.v1.errors import no_route
from migctl.api.v1.not_here import OTHER_PREFIXES
from migctl.api.v1.service import ApiService, LivePlanner
from migctl.api.workloads import Judge, JudgeFor, verdict_route, workload_routes
from migctl.backends.http.runtime import WorkloadRuntime
from migctl.backends.http.wire import HEARTBEAT_S, JSON, Error, error_body, error_status
from migctl.backends.protocol import ControlPlane, ControlPlaneError, Forbidden, Invalid, Unavailable
from migctl.objects import Workload, WorkloadVerdict, encode

Metrics = Callable[[], bytes]
Allowed = Callable[[Request], Awaitable[None]]


def create_app(
    control_plane: AdmittingControlPlane,
    runtime: WorkloadRuntime,
    *,
    v1: FastAPI | None = None,
    verdict: Judge | None = None,
    ready: Callable[[], bool] = lambda: True,
    metrics: Metrics | None = None,
    heartbeat_s: float = HEARTBEAT_S,
    trail: AuditTrail | None = None,
    department_of: DepartmentOf = lambda project: "",
) -> FastAPI:
    """The API over a control plane, on the socket of the machine's owner.

    v1           the public REST API, served below its prefix; None: not at all
    verdict      says what would become of a workload; None: nobody does here
    ready        whether decisions are being made; what /readyz says
    metrics      what /metrics says, in Prometheus's text format; None: there is no such path
    heartbeat_s  longest silence of a watch
    trail        where writes are told; None: nowhere
    """
    door = owners_door(control_plane, trail, department_of)

    async def judged(_: Request, workload: Workload) -> WorkloadVerdict:
        assert verdict is not None
        return await verdict(workload)

    app = _assembled(door, owners_streams, runtime, ready, v1, heartbeat_s, verdict=None if verdict is None else judged)
    _add_peer(app)
    if metrics is not None:
        _add_metrics(app, metrics, _everybody)
    app.add_middleware(NumberedRequests)
    return app


def create_tcp_app(
    service: ApiService,
    sign_in: SignIn,
    listener: Listener,
    closing: asyncio.Event,
    *,
    v1: FastAPI,
    ready: Callable[[], bool],
    metrics: Metrics,
    verdict: LivePlanner,
    heartbeat_s: float = HEARTBEAT_S,
) -> ASGIApp:
    """The same for those who sign in: each request may do what its caller may.

    closing  ends streams: the socket's, since both close together
    """

    async def door(request: Request) -> ControlPlane:
        return (await service.door(request)).control

    async def ending(request: Request) -> Ended:
        return (await service.door(request)).ended

    async def admins(request: Request) -> None:
        if not set(OWNER) <= set((await service.authenticate(request)).access):
            raise Forbidden("metrics are an admin's: they name all projects")

    async def judged(request: Request, workload: Workload) -> WorkloadVerdict:
        callers = await service.door(request)
        callers.rights.require(Verb.CREATE, Workload.PLURAL, place_of(workload, service.department_of))
        return await verdict(workload, callers.seen.sees_project)

    app = _assembled(door, ending, service.runtime, ready, v1, heartbeat_s, closing, judged)
    _add_metrics(app, metrics, admins)
    app.include_router(browser_routes(sign_in, service.trail, secure=listener.tls is not None))
    return NumberedRequests(Guard(app, sign_in, loopback=listener.loopback))


def create_rest_app(v1: FastAPI, sign_in: Credentials, closing: asyncio.Event) -> ASGIApp:
    """The public REST API with its page, and nothing else: what a cluster serves."""
    app = FastAPI(title="migctl", openapi_url=None)
    v1.state.closing = app.state.closing = closing
    _add_errors(app)
    app.mount(PREFIX, v1)
    app.include_router(docs_page.routes)
    return NumberedRequests(Guard(app, sign_in, loopback=False))


def create_health_app(ready: Callable[[], bool]) -> ASGIApp:
    """What probes ask. ready: what /readyz says."""
    app = FastAPI(title="migctl", openapi_url=None)
    _add_health(app, ready)
    _add_errors(app)
    return app


def _assembled(
    door: Door,
    ending: Ending,
    runtime: WorkloadRuntime,
    ready: Callable[[], bool],
    v1: FastAPI | None,
    heartbeat_s: float,
    closing: asyncio.Event | None = None,
    verdict: JudgeFor | None = None,
) -> FastAPI:
    app = FastAPI(title="migctl", openapi_url=None)
    app.state.closing = closing or asyncio.Event()
    app.include_router(workload_routes(door, runtime, app.state.closing, ending))
    if verdict is not None:
        app.include_router(verdict_route(verdict))
    app.include_router(object_routes(door, app.state.closing, heartbeat_s))
    _add_health(app, ready)
    _add_errors(app)
    if v1 is not None:
        v1.state.closing = app.state.closing
        app.mount(PREFIX, v1)
        app.include_router(docs_page.routes)
    return app


def _add_peer(app: FastAPI) -> None:
    @app.get("/whoami")
    async def whoami(request: Request) -> Response:
        return Response(encode(request.state.peer), media_type=JSON)


def _add_health(app: FastAPI, ready: Callable[[], bool]) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type=JSON)

    @app.get("/readyz")
    async def readyz() -> Response:
        if not ready():
            raise Unavailable("the controller has not seen all objects yet", hint="try again in a moment")
        return Response(b'{"status":"ok"}', media_type=JSON)


async def _everybody(_: Request) -> None:
    return


def _add_metrics(app: FastAPI, read: Metrics, allowed: Allowed) -> None:
    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        await allowed(request)
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
        if request.url.path.startswith((PREFIX, *OTHER_PREFIXES)):
            return no_route(request, error)  # a path with a line break: the mounted application does not get it
        code = "NotFound" if error.status_code == 404 else "NotAllowed"
        return _error(error.status_code, Error(code, f"{request.method} {request.url.path}: {error.detail}"))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return _error(500, Error("Internal", f"this is a bug of migctl: {error!r}", hint="its log tells more"))


def _error(status: int, body: Error) -> Response:
    return Response(encode(body), status, media_type=JSON)
