"""The routes of a workload's output and of the environment for commands run beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from migctl.access.ending import while_allowed
from migctl.api.doors import Door, Ending
from migctl.api.streams import streamed
from migctl.backends.http.runtime import WorkloadRuntime
from migctl.backends.http.wire import JSON, OBJECTS
from migctl.backends.merge import decoded
from migctl.backends.protocol import Forbidden
from migctl.objects import Workload, WorkloadVerdict, encode

Judge = Callable[[Workload], Awaitable[WorkloadVerdict]]
"""What would become of a workload if it were sent now. Raises what admission refuses it for."""

JudgeFor = Callable[[Request, Workload], Awaitable[WorkloadVerdict]]
"""The same for the caller of a request."""


def workload_routes(door: Door, runtime: WorkloadRuntime, closing: asyncio.Event, ending: Ending) -> APIRouter:
    """The log, and the environment of `migctl exec`."""
    routes = APIRouter(prefix=f"{OBJECTS}/workloads/{{name}}")

    @routes.get("/log")
    async def log(
        request: Request,
        name: str,
        project: str,
        follow: bool = False,
        tail: int | None = Query(default=None, ge=0),
    ) -> StreamingResponse:
        workload = await (await door(request)).get(Workload, name, project)
        output = while_allowed(await runtime.logs(workload, follow, tail), await ending(request))
        return streamed(output, closing, "application/octet-stream")

    @routes.get("/exec-environment")
    async def exec_environment(name: str, project: str, request: Request) -> Response:
        workload = await (await door(request)).get(Workload, name, project)
        peer = getattr(request.state, "peer", None)
        if peer is None:
            raise Forbidden(
                "a command runs beside a workload on the machine where that runs",
                hint="sign in to that machine, and use migctl exec there",
            )
        beside = await runtime.exec_environment(workload, peer.pid)
        return Response(encode(beside), media_type=JSON)

    return routes


def verdict_route(verdict: JudgeFor) -> APIRouter:
    """The verdict on a workload that is not created."""
    routes = APIRouter(prefix=f"{OBJECTS}/workloads")

    @routes.post("/verdict")
    async def judged(request: Request) -> Response:
        workload = decoded(await request.body(), Workload)
        return Response(encode(await verdict(request, workload)), media_type=JSON)

    return routes
