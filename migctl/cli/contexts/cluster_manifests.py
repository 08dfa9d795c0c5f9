"""What YAML documents mean on a cluster: the API server takes them, and knows every kind; workloads of ours become its.

Written by server-side apply: what a document stops saying is taken back, fields that others own are left alone, and a
field that the API server does not know is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from migctl.backends.kubernetes.client.kinds import ServedResources
from migctl.backends.kubernetes.client.resources import Resource
from migctl.backends.kubernetes.meaning import custom
from migctl.backends.kubernetes.user.manifests import manifest
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.protocol import Conflict, Invalid, NotFound
from migctl.cli.contexts import own_documents
from migctl.cli.contexts.control import Default, Together
from migctl.cli.contexts.own_documents import WRITTEN_BY_KUBERNETES
from migctl.objects import API_VERSION, Department, NodePool, Project, Workload

APPLY = "application/apply-patch+yaml"
MANAGER = "migctl"
COMPARED = ("spec", "data", "stringData", "binaryData", "rules", "subjects", "roleRef")
"""Parts of objects that people write, beside labels and annotations."""
EXPORTED = (*(name for name in WRITTEN_BY_KUBERNETES if name != "finalizers"), "selfLink")
SECRET, MASK, CHANGED = ("data", "stringData"), "(not shown)", "(not shown, and another one)"


@dataclass(frozen=True)
class ClusterManifest:
    """One object, as the API server takes it."""

    api: PermittedApi
    resource: Resource[Any]
    body: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    left_out: bool = False

    @property
    def name(self) -> str:
        return f"{self.resource.title.lower()}/{self.body['metadata']['name']}"

    @property
    def project(self) -> str:
        return str(self.body["metadata"].get("namespace", ""))

    async def exists(self) -> bool:
        return await self._stored() is not None

    async def check_removal(self, going: Collection[tuple[str, str]]) -> None:
        """Kubernetes deletes what an object owns after it."""

    async def delete(self) -> None:
        await self.api.delete(self.resource, self.body["metadata"]["name"], self.project)

    async def check(self, together: Together) -> str:
        """By a dry run of the API server; of a project that is only about to be there it cannot be asked."""
        try:
            return await self._sent(dry_run=True)
        except NotFound:
            if f"project/{self.project}" not in together.names:
                raise
            return "created"

    async def apply(self) -> str:
        return await self._sent(dry_run=False)

    async def compared(self) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
        """After a check: what it does not find is in a project that is about to be there."""
        before = await self._stored()
        try:
            after = await self._patched(before, dry_run=True)
        except NotFound:
            after = dict(self.body)
        if self.resource.title == "Secret":
            before, after = _masked(before), _masked(after, before)
        return None if before is None else _shown(before), _shown(after)

    async def _sent(self, dry_run: bool) -> str:
        before = await self._stored()
        after = await self._patched(before, dry_run)
        if before is None:
            return "created"
        return "unchanged" if _written(before) == _written(after) else "configured"

    async def _patched(self, before: Mapping[str, Any] | None, dry_run: bool) -> dict[str, Any]:
        """What the API server makes of it.

        Raises what the API server refuses it for; Conflict where a field cannot be changed or is another's.
        """
        path = self.resource.path(self.project, self.body["metadata"]["name"])
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        try:
            answer = await self.api.transport.request("PATCH", path, query, msgspec.json.encode(self.body), APPLY)
        except Invalid as error:
            if before is not None and "immutable" in str(error):
                name = self.body["metadata"]["name"]
                raise Conflict(str(error), f"delete {name} and apply it again") from None
            raise
        made: dict[str, Any] = msgspec.json.decode(answer)
        return made

    async def _stored(self) -> dict[str, Any] | None:
        try:
            found = await self.api.get(self.resource, self.body["metadata"]["name"], self.project)
        except NotFound:
            return None
        stored: dict[str, Any] = msgspec.json.decode(found)
        return stored


def _written(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What people write of an object."""
    metadata = obj["metadata"]
    parts = {key: obj[key] for key in COMPARED if key in obj}
    return {"labels": metadata.get("labels"), "annotations": metadata.get("annotations"), **parts}


def _shown(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what the API server writes."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in WRITTEN_BY_KUBERNETES}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


def _masked(obj: dict[str, Any] | None, before: Mapping[str, Any] | None = None) -> Any:
    """A Secret without its values: only whether one differs from what was there before is seen."""
    if obj is None:
        return None
    old = {part: (before or {}).get(part) or {} for part in SECRET}
    hidden = {
        part: {
            key: MASK if before is None or old[part].get(key) == value else CHANGED for key, value in obj[part].items()
        }
        for part in SECRET
        if obj.get(part)
    }
    return {**obj, **hidden}


async def understood(api: PermittedApi, body: Mapping[str, Any], project: Default) -> ClusterManifest:
    """The object that a document describes. Raises Invalid where the cluster has no such kind."""
    version, kind = str(body.get("apiVersion", "")), str(body["kind"])
    if version == API_VERSION and kind in own_documents.KINDS and (kind == "Workload" or "meta" in body):
        body = await _translated(body, project)
        version, kind = body["apiVersion"], body["kind"]
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping) or not metadata.get("name"):
        raise Invalid("metadata.name: an object needs a name", field="metadata.name")
    resource = await _resource(api, version, kind)
    if resource.namespaced and not metadata.get("namespace"):
        body = {**body, "metadata": {**metadata, "namespace": await project()}}
    elif not resource.namespaced and metadata.get("namespace"):
        raise Invalid(f"metadata.namespace: a {kind} is in no namespace", field="metadata.namespace")
    return ClusterManifest(api, resource, _as_written(body))


def _as_written(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what the API server refuses to be told, or would take for a condition: exports have it."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in EXPORTED}
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": metadata}


async def _translated(body: Mapping[str, Any], project: Default) -> dict[str, Any]:
    """An object of ours as the cluster has it."""
    made, said = own_documents.read(body)
    if isinstance(made, Workload):
        made = own_documents.ranked(own_documents.placed(made, await project() if not made.meta.project else ""), said)
        return manifest(made)
    assert isinstance(made, Project | Department | NodePool)
    return custom.to_json(made)


async def _resource(api: PermittedApi, version: str, kind: str) -> Resource[Any]:
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    try:
        answer = msgspec.json.decode(await api.transport.request("GET", root), type=ServedResources)
    except NotFound:
        answer = ServedResources()
    for served in answer.resources:
        if served.kind == kind and "/" not in served.name:
            return Resource(version, served.name, msgspec.Raw, namespaced=served.namespaced, title=kind)
    missing = f"this cluster has no {kind} of {version or 'no apiVersion'}"
    raise Invalid(missing, hint="kubectl api-resources lists what it has")
