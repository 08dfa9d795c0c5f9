"""What YAML documents mean on a cluster: the API server takes them, and knows every kind; workloads of ours become its.

Written by server-side apply: what a document stops saying is taken back, fields that others own are left alone, and a
field that the API server does not know is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from migctl.cli.contexts.control import Default
from migctl.objects import API_VERSION, Department, NodePool, Project, Workload

APPLY = "application/apply-patch+yaml"
MANAGER = "migctl"
COMPARED = ("spec", "data", "stringData", "binaryData", "rules", "subjects", "roleRef")
"""Parts of objects that people write, beside labels and annotations."""


@dataclass(frozen=True)
class ClusterManifest:
    """One object, as the API server takes it."""

    api: PermittedApi
    resource: Resource[Any]
    body: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.resource.title.lower()}/{self.body['metadata']['name']}"

    @property
    def project(self) -> str:
        return str(self.body["metadata"].get("namespace", ""))

    async def exists(self) -> bool:
        return await self._stored() is not None

    async def delete(self) -> None:
        await self.api.delete(self.resource, self.body["metadata"]["name"], self.project)

    async def apply(self, dry_run: bool) -> str:
        """Raises what the API server refuses it for; Conflict where a field cannot be changed or is another's."""
        before = await self._stored()
        path = self.resource.path(self.project, self.body["metadata"]["name"])
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        try:
            answer = await self.api.transport.request("PATCH", path, query, msgspec.json.encode(self.body), APPLY)
        except Invalid as error:
            if before is not None and "immutable" in str(error):
                name = self.body["metadata"]["name"]
                raise Conflict(str(error), f"delete {name} and apply it again") from None
            raise
        if before is None:
            return "created"
        return "unchanged" if _written(before) == _written(msgspec.json.decode(answer)) else "configured"

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
    if "status" in body:
        body = {key: value for key, value in body.items() if key != "status"}
    return ClusterManifest(api, resource, body)


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
