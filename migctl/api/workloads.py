"""The routes of a workload's output and of the environment for commands run beside it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from migctl.api.streams import streamed
from migctl.backends.http.runtime import WorkloadRuntime
from migctl.backends.http.wire import JSON, OBJECTS
from migctl.backends.protocol import ControlPlane
from migctl.objects import Workload, encode


def workload_routes(control_plane: ControlPlane, runtime: WorkloadRuntime, closing: asyncio.Event) -> APIRouter:
    """The log, and the environment of `migctl exec`."""
    routes = APIRouter(prefix=f"{OBJECTS}/workloads/{{name}}")

    @routes.get("/log")
    async def log(
        name: str, project: str, follow: bool = False, tail: int | None = Query(default=None, ge=0)
    ) -> StreamingResponse:
        workload = await control_plane.get(Workload, name, project)
        return streamed(await runtime.logs(workload, follow, tail), closing, "application/octet-stream")

    @routes.get("/exec-environment")
    async def exec_environment(name: str, project: str, request: Request) -> Response:
        workload = await control_plane.get(Workload, name, project)
        beside = await runtime.exec_environment(workload, request.state.peer.pid)
        return Response(encode(beside), media_type=JSON)

    return routes
