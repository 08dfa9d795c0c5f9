"""The HTTP of the fake API server: paths, queries, watches and whose request it is."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from aiohttp import web

from tests.fakes.kubernetes_api import patches
from tests.fakes.kubernetes_api.errors import Refused, expired
from tests.fakes.kubernetes_api.faults import Call, Cut, Faults
from tests.fakes.kubernetes_api.kinds import KINDS, Kind
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.reviews import TokensAndAccess
from tests.fakes.kubernetes_api.storage import Json, LogEntry, Storage, Stored
from tests.fakes.kubernetes_api.users import User

PATH = re.compile(
    r"(?P<root>/api/v1|/apis/[^/]+/[^/]+)(/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<plural>[^/]+)(/(?P<name>[^/]+)(/(?P<sub>[^/]+))?)?"
)
DISCOVERY = re.compile(r"/api(?:s/[^/]+)?/[^/]+")
POLICIES = ("mutatingadmissionpolicies", "validatingadmissionpolicies")
BY_PATH = {(kind.root, kind.plural): kind for kind in KINDS}
BOOKMARK_S = 1.0
REVIEWS = ("tokenreviews", "subjectaccessreviews")
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

Extra = Callable[[web.Request, re.Match[str]], Any]


class FakeApi:
    """A server on a port of its own. `extras`: handlers of subresources that stand-ins serve (log, exec)."""

    def __init__(self, operations: Operations | None = None) -> None:
        self.operations = operations or Operations(Storage())
        self.storage = self.operations.storage
        self.tokens = TokensAndAccess(self.operations.authorizer)
        self.faults = Faults()
        self.extras: dict[str, Extra] = {}
        self.url = ""
        self._streams: set[web.StreamResponse] = set()

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[FakeApi]:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, bound = runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}"
        try:
            yield self
        finally:
            self.cut_watches()
            await runner.cleanup()

    def cut_watches(self) -> None:
        """Break every watch that is open."""
        for response in list(self._streams):
            task = getattr(response, "task", None)
            transport = response._req.transport if response._req is not None else None
            if transport is not None:
                transport.abort()
            if task is not None:
                task.cancel()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        watching = request.query.get("watch") in ("true", "1")
        try:
            user = self.tokens.user(_token(request))
            cut = self.faults.check(Call(user.name, user.node, request.method, request.path, watching))
            if request.path == "/version":
                return _json({"major": "1", "minor": "36", "gitVersion": "v1.36.2"})
            if (found := DISCOVERY.fullmatch(request.path)) is not None:
                return _json(_discovered(found[0].removeprefix("/apis/").removeprefix("/api/")))
            answer = await self._answer(request, user, watching)
            if cut is not None:
                raise cut
            return answer
        except Cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        except Refused as refused:
            headers = {"Retry-After": str(refused.retry_after)} if refused.retry_after else {}
            return _json(refused.status, refused.code, headers)

    async def _answer(self, request: web.Request, user: User, watching: bool) -> web.StreamResponse:
        if request.path == SELF and request.method == "POST":
            return _json({"status": {"userInfo": {"username": user.name, "groups": list(user.groups)}}}, 201)
        match = PATH.fullmatch(request.path)
        kind = BY_PATH.get((match["root"], match["plural"])) if match else None
        if match is None or kind is None:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        namespace, name, sub = match["namespace"] or "", match["name"] or "", match["sub"] or ""
        verb = _verb(request.method, name, watching)
        self.operations.authorize(user, verb, kind, namespace, name, sub)
        if sub in self.extras:
            served: web.StreamResponse = await self.extras[sub](request, match)
            return served
        if watching:
            return await self._watch(request, kind, namespace)
        if verb == "list":
            return self._list(request, kind, namespace)
        if verb == "get":
            return _json(self.operations.get(kind, namespace, name))
        body = await _body(request)
        if kind.plural in REVIEWS:
            return _json({"apiVersion": kind.api, "kind": kind.kind, **self.tokens.review(kind.plural, body)}, 201)
        if verb == "create":
            return self._create(request, user, kind, namespace, name, sub, body)
        if verb == "delete":
            return _json(self.operations.delete(kind, namespace, name, body, user=user))
        if verb == "update":
            before = self.operations.get(kind, namespace, name)
            return _json(self.operations.change(user, kind, before, body, sub))
        if request.content_type == patches.APPLY:
            dry_run = request.query.get("dryRun") == "All"
            return _json(self.operations.apply(user, kind, namespace, name, body, dry_run=dry_run))
        return _json(self.operations.patch(user, kind, namespace, name, body, request.content_type, sub))

    def _create(
        self, request: web.Request, user: User, kind: Kind, namespace: str, name: str, sub: str, body: Json
    ) -> web.Response:
        if sub == "eviction":
            return _json(self.operations.evict(namespace, name, body), 201)
        dry_run = request.query.get("dryRun") == "All"
        return _json(self.operations.create(user, kind, namespace, body, dry_run=dry_run), 201)

    def _list(self, request: web.Request, kind: Kind, namespace: str) -> web.Response:
        section = self.storage.section(kind.plural)
        keys = sorted(key for key in section.objects if not namespace or key[0] == namespace)
        limit = int(request.query.get("limit", 0)) or len(keys) or 1
        start, revision = 0, self.storage.revision
        if token := request.query.get("continue"):
            first, _, at = token.partition("@")
            start, revision = int(first), int(at)
            if revision < section.compacted:
                raise expired()
        page = [section.objects[key] for key in keys[start : start + limit] if _selected(request, section.objects[key])]
        more = f"{start + limit}@{revision}" if start + limit < len(keys) else ""
        metadata = msgspec.json.encode({"resourceVersion": str(revision), **({"continue": more} if more else {})})
        items = b",".join(stored.json for stored in page)
        head = f'{{"kind":"{kind.kind}List","apiVersion":"{kind.api}","metadata":'.encode()
        return _raw(head + metadata + b',"items":[' + items + b"]}")

    async def _watch(self, request: web.Request, kind: Kind, namespace: str) -> web.StreamResponse:
        section = self.storage.section(kind.plural)
        since = int(request.query.get("resourceVersion") or self.storage.revision)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self._streams.add(response)
        deadline = asyncio.get_running_loop().time() + float(request.query.get("timeoutSeconds", 300))
        try:
            if since < section.compacted or since > self.storage.revision:
                await self._send(response, [_line("ERROR", msgspec.json.encode(expired().status))])
                return response
            await self._stream(response, kind, namespace, since, deadline)
        except (ConnectionError, asyncio.CancelledError):
            return response
        finally:
            self._streams.discard(response)
        return response

    async def _stream(
        self, response: web.StreamResponse, kind: Kind, namespace: str, since: int, deadline: float
    ) -> None:
        section, loop = self.storage.section(kind.plural), asyncio.get_running_loop()
        while loop.time() < deadline:
            news = section.news
            if since < section.compacted:
                await self._send(response, [_line("ERROR", msgspec.json.encode(expired().status))])
                return
            entries = _after(section.log, since)
            since = entries[-1].revision if entries else since
            if namespace:
                entries = [e for e in entries if e.stored.object["metadata"].get("namespace") == namespace]
            if self.faults.events is not None:
                entries = self.faults.events(entries)
            await self._send(response, [_line(entry.type, entry.stored.json) for entry in entries])
            try:
                async with asyncio.timeout(min(BOOKMARK_S, max(0.0, deadline - loop.time()))):
                    await news.wait()
            except TimeoutError:
                since = max(since, self.storage.revision) if section.news is news else since
                await self._send(response, [_line("BOOKMARK", _bookmark(kind, since))])

    async def _send(self, response: web.StreamResponse, lines: list[bytes]) -> None:
        data = b"".join(lines)
        step = self.faults.piece or len(data) or 1
        for start in range(0, len(data), step):
            await response.write(data[start : start + step])


def _after(log: list[LogEntry], revision: int) -> list[LogEntry]:
    """The entries later than a revision: they stand at the end."""
    start = len(log)
    while start and log[start - 1].revision > revision:
        start -= 1
    return log[start:]


def _discovered(group: str) -> Json:
    found: list[Json] = [
        {"name": kind.plural, "kind": kind.kind, "namespaced": kind.namespaced} for kind in KINDS if kind.api == group
    ]
    if group == "admissionregistration.k8s.io/v1":
        found += [{"name": plural} for plural in POLICIES]
    if not found:
        raise Refused(404, "NotFound", "the server could not find the requested resource")
    return {"kind": "APIResourceList", "groupVersion": group, "resources": found}


def _line(kind: str, obj: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + obj + b"}\n"


def _bookmark(kind: Kind, revision: int) -> bytes:
    obj: Json = {"kind": kind.kind, "apiVersion": kind.api, "metadata": {"resourceVersion": str(revision)}}
    if kind.plural == "pods":
        obj |= {"spec": {"containers": None}, "status": {}}
    return msgspec.json.encode(obj)


def _selected(request: web.Request, stored: Stored) -> bool:
    labels = stored.object["metadata"].get("labels", {})
    for part in filter(None, request.query.get("labelSelector", "").split(",")):
        key, _, value = part.partition("=")
        if labels.get(key) != value:
            return False
    for part in filter(None, request.query.get("fieldSelector", "").split(",")):
        path, _, value = part.partition("=")
        field: Any = stored.object
        for key in path.split("."):
            field = field.get(key, {})
        if field != value:
            return False
    return True


def _verb(method: str, name: str, watching: bool) -> str:
    if method == "GET":
        return "watch" if watching else "get" if name else "list"
    return {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}[method]


def _token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ").removeprefix("bearer ")


async def _body(request: web.Request) -> Any:
    data = await request.read()
    return msgspec.json.decode(data) if data else {}


def _json(obj: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return _raw(msgspec.json.encode(obj), status, headers)


def _raw(data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=data, status=status, headers={"Content-Type": "application/json", **(headers or {})})
