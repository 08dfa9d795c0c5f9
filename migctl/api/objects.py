"""The routes of the control plane's objects, the same for every kind. backends/http/wire.py lists them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from msgspec.structs import replace

from migctl.api.doors import Door
from migctl.api.streams import streamed
from migctl.backends.http.wire import JSON, JSON_LINES, OBJECTS, ChangeLine, List, error_body
from migctl.backends.merge import decoded
from migctl.backends.protocol import Change, Conflict, ControlPlane, ControlPlaneError, Invalid, NotFound
from migctl.objects import API_VERSION, KINDS, AccessRule, AccessToken, Workload, encode, singular


def object_routes(door: Door, closing: asyncio.Event, heartbeat_s: float) -> APIRouter:
    """List, get, watch, create, patch and delete."""
    routes = APIRouter(prefix=OBJECTS)

    @routes.get("/{plural}", response_model=None)
    async def list_or_watch(
        request: Request, plural: str, project: str | None = None, watch: bool = False, since: str = ""
    ) -> Response | StreamingResponse:
        control_plane, kind = await door(request), _kind(plural)
        if watch:
            return streamed(_lines(control_plane.watch(kind, since)), closing, JSON_LINES, heartbeat_s)
        listing = await control_plane.list(kind, project)
        items = msgspec.Raw(encode(listing.items))
        return _answer(List(API_VERSION, f"{kind.__name__}List", listing.version, items))

    @routes.post("/{plural}")
    async def create(plural: str, request: Request) -> Response:
        control_plane = await door(request)
        obj = decoded(await request.body(), _kind(plural))
        return _answer(await control_plane.create(_signed(obj, request)), status=201)

    @routes.get("/{plural}/{name}")
    async def get(request: Request, plural: str, name: str, project: str = "") -> Response:
        control_plane = await door(request)
        return _answer(await control_plane.get(_kind(plural), name, project))

    @routes.patch("/{plural}/{name}")
    async def patch(
        plural: str, name: str, request: Request, uid: str, project: str = "", version: str | None = None
    ) -> Response:
        control_plane = await door(request)
        obj = await _read(control_plane, plural, name, project, uid)
        if version is not None and version != obj.meta.version:
            raise Conflict(f"{name!r} was changed since it was read", hint="read it again and repeat the change")
        changes = _json(await request.body())
        return _answer(await control_plane.patch(obj, changes, fenced=version is not None))

    @routes.delete("/{plural}/{name}", status_code=204)
    async def delete(request: Request, plural: str, name: str, uid: str, project: str = "") -> None:
        control_plane = await door(request)
        await control_plane.delete(await _read(control_plane, plural, name, project, uid))

    return routes


def _kind(plural: str) -> type[Any]:
    if plural not in KINDS:
        raise NotFound(f"there are no {plural!r} here", hint=f"there are {', '.join(KINDS)}")
    return KINDS[plural]


async def _read(control_plane: ControlPlane, plural: str, name: str, project: str, uid: str) -> Any:
    """The object of that name and uid."""
    obj = await control_plane.get(_kind(plural), name, project)
    if obj.meta.uid != uid:
        raise NotFound(f"another {singular(type(obj))} {name!r} has this name now", hint="read it again")
    return obj


def _signed(obj: Any, request: Request) -> Any:
    """A workload without a user is its sender's; who gives access is told by it."""
    peer = getattr(request.state, "peer", None)
    if peer is None:  # access/authorized.py signs for everybody else
        return obj
    match obj:
        case Workload() if not obj.spec.user:
            return replace(obj, spec=replace(obj.spec, user=peer.user))
        case AccessRule():
            return replace(obj, spec=replace(obj.spec, granted_by=peer.user))
        case AccessToken():
            return replace(obj, spec=replace(obj.spec, created_by=peer.user))
    return obj


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise Invalid(f"this is no JSON: {error}") from None


def _answer(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type=JSON)


async def _lines(changes: AsyncIterator[Change[Any]]) -> AsyncIterator[bytes]:
    try:
        async for change in changes:
            yield encode(ChangeLine(change.type, msgspec.Raw(encode(change.object)))) + b"\n"
    except ControlPlaneError as error:
        yield encode(ChangeLine("ERROR", error=error_body(error))) + b"\n"
