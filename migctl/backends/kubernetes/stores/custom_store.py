"""Projects, departments, node pools, GPU nodes and plans: custom resources, one to one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Generic, TypeVar

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.kinds import CustomResource
from migctl.backends.kubernetes.client.resources import DEPARTMENTS, GPU_NODES, NODE_POOLS, PLANS, PROJECTS, Resource
from migctl.backends.kubernetes.meaning import custom
from migctl.backends.kubernetes.stores.watching import follow
from migctl.backends.merge import check_identity, merged, plain
from migctl.backends.protocol import AlreadyExists, Change, Conflict, Invalid, Listing, NotFound
from migctl.objects import Department, GpuNode, NodePool, NodeStatus, PlacementPlan, Project, ProjectStatus
from nodeagent.contract.wire import camel_names

C = TypeVar("C", Project, Department, NodePool, GpuNode, PlacementPlan)

NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class CustomStore(Generic[C]):
    """Objects of one kind of custom resource. `taken` is called with the answer to each write."""

    def __init__(
        self,
        api: KubernetesApi,
        resource: Resource[CustomResource],
        make: Callable[[CustomResource], C],
        taken: Callable[[Resource[Any], bytes], None],
    ) -> None:
        self._api = api
        self._resource = resource
        self._make: Callable[[CustomResource], C] = make
        self._taken = taken

    async def list(self, project: str | None) -> Listing[C]:
        found, version = await self._api.list_objects(self._resource)
        objects = (self._make(raw) for raw in found)
        return Listing(tuple(sorted(objects, key=lambda obj: obj.meta.name)), version)

    async def get(self, name: str, project: str) -> C:
        if not name:
            raise Invalid("meta.name: an object needs a name", field="meta.name")
        return self._read(await self._explained(name, self._api.get(self._resource, name)))

    def watch(self, since: str) -> AsyncIterator[Change[C]]:
        return follow(self._api, self._resource, since, self._make)

    async def create(self, obj: C) -> C:
        """Create the object and, with a second write, its status. Raises AlreadyExists, Invalid."""
        _check_name(obj.meta.name)
        merged(obj, {})
        body = custom.to_json(obj)
        try:
            answer = await self._api.create(self._resource, body)
        except AlreadyExists:
            raise AlreadyExists(
                f"{self._title} {obj.meta.name!r} exists already", hint="choose another name, or delete it first"
            ) from None
        status = body.get("status")
        if status:
            name = obj.meta.name
            answer = await self._api.patch(self._resource, name, {"status": status}, subresource="status")
        self._taken(self._resource, answer)
        return self._read(answer)

    async def patch(self, obj: C, changes: Mapping[str, Any], fenced: bool) -> C:
        """Write metadata and spec, then the status: the API server takes the two apart."""
        check_identity(obj.meta, merged(obj, changes).meta)
        wanted = plain(changes)
        fence = {"uid": obj.meta.uid} | ({"resourceVersion": obj.meta.version} if fenced else {})
        main = _main(wanted)
        parts = [(main, "")] if main else []
        if "status" in wanted:
            parts.append(({"status": _status(obj, wanted["status"])}, "status"))
        if "finalizers" in main.get("metadata", {}):
            parts.reverse()  # with its last finalizer the object is deleted
        answer: bytes | None = None
        for body, subresource in parts:
            if answer is not None and fenced:
                fence["resourceVersion"] = self._read(answer).meta.version
            answer = await self._patch(obj, _with_metadata(body, fence), subresource)
        return await self._same(obj) if answer is None else self._read(answer)

    async def delete(self, obj: C) -> None:
        """Delete the object of this uid. Raises NotFound."""
        options = {"preconditions": {"uid": obj.meta.uid}} if obj.meta.uid else {}
        try:
            await self._explained(obj.meta.name, self._api.delete(self._resource, obj.meta.name, options=options))
        except Conflict:
            raise self._missing(obj.meta.name) from None

    @property
    def _title(self) -> str:
        return self._resource.title

    async def _patch(self, obj: C, body: dict[str, Any], subresource: str) -> bytes:
        name = obj.meta.name
        try:
            writing = self._api.patch(self._resource, name, body, subresource=subresource)
            answer: bytes = await self._explained(name, writing)
        except Conflict:
            await self._same(obj)
            raise Conflict(
                f"{self._title} {name!r} was changed since it was read", hint="read it again and repeat the change"
            ) from None
        self._taken(self._resource, answer)
        return answer

    async def _same(self, obj: C) -> C:
        """What is stored of this very object. Raises NotFound where it is deleted or another one has its name."""
        stored = await self.get(obj.meta.name, "")
        if stored.meta.uid != obj.meta.uid:
            raise self._missing(obj.meta.name)
        return stored

    async def _explained(self, name: str, call: Any) -> Any:
        try:
            return await call
        except NotFound as error:
            raise (error if error.hint else self._missing(name)) from None

    def _missing(self, name: str) -> NotFound:
        return NotFound(f"there is no {self._title} {name!r}")

    def _read(self, answer: bytes) -> C:
        return self._make(self._resource.one.decode(answer))


def projects(api: KubernetesApi, taken: Callable[[Resource[Any], bytes], None]) -> CustomStore[Project]:
    """The store of projects."""
    return CustomStore(api, PROJECTS, custom.project, taken)


def departments(api: KubernetesApi, taken: Callable[[Resource[Any], bytes], None]) -> CustomStore[Department]:
    """The store of departments."""
    return CustomStore(api, DEPARTMENTS, custom.department, taken)


def node_pools(api: KubernetesApi, taken: Callable[[Resource[Any], bytes], None]) -> CustomStore[NodePool]:
    """The store of node pools."""
    return CustomStore(api, NODE_POOLS, custom.node_pool, taken)


def nodes(api: KubernetesApi, taken: Callable[[Resource[Any], bytes], None]) -> CustomStore[GpuNode]:
    """The store of GPU nodes."""
    return CustomStore(api, GPU_NODES, custom.node, taken)


def plans(api: KubernetesApi, taken: Callable[[Resource[Any], bytes], None]) -> CustomStore[PlacementPlan]:
    """The store of plans."""
    return CustomStore(api, PLANS, custom.plan, taken)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Invalid(
            f"meta.name: {name!r} is no name: lower-case letters, digits, '-' and '.', neither of them first or last",
            field="meta.name",
        )


def _main(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a patch that is no status: metadata and spec."""
    found: dict[str, Any] = {}
    meta = wanted.get("meta") or {}
    if meta:
        found["metadata"] = {key: meta[key] for key in ("labels", "finalizers") if key in meta}
    if "spec" in wanted:
        found["spec"] = wanted["spec"]
    return found


def _with_metadata(body: dict[str, Any], fence: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {**body.get("metadata", {}), **fence}}


def _status(obj: Project | Department | NodePool | GpuNode | PlacementPlan, changes: Any) -> dict[str, Any]:
    """A patch of our fields of the status; conditions are others' to write."""
    if changes is None:
        kind = NodeStatus if isinstance(obj, GpuNode) else ProjectStatus
        return dict.fromkeys(field for field in _fields(kind))
    if isinstance(changes.get("report"), dict):
        return {**changes, "report": camel_names(changes["report"])}
    return dict(changes)


def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(kind.__struct_encode_fields__)
