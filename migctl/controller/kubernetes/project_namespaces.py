"""The namespaces of projects: each project has and owns the namespace of its name and what pods need in it.

A namespace that existed before belongs to somebody else: it is adopted only where its owner
has put the project's label on it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import NAMESPACES, PROJECTS, TEMPLATES
from migctl.backends.kubernetes.meaning import names
from migctl.backends.kubernetes.meaning.records import CustomRecord, MetadataRecord
from migctl.backends.protocol import AlreadyExists, Conflict, ControlPlaneError, NotFound
from migctl.clock import Clock
from nodeagent.contract.wire import API_VERSION, CONTAINER_REQUESTS, REQUEST

log = structlog.get_logger()

LOOK_AGAIN_S = 30.0
_TEMPLATES = {names.CLAIM: (REQUEST,), names.CONTAINERS_TEMPLATE: CONTAINER_REQUESTS}
"""The claim templates of a project, and the requests of each. A template cannot be changed, only made."""


class ProjectNamespacesReconciler:
    """Creates every project's namespace and claim templates. Runs on the leader only."""

    def __init__(self, api: KubernetesApi, cluster: ClusterCache, clock: Clock) -> None:
        self._api = api
        self._cluster = cluster
        self._clock = clock

    async def run(self) -> None:
        """Reconcile whenever something changed, and every LOOK_AGAIN_S, until cancelled."""
        async for _ in self._cluster.rounds(LOOK_AGAIN_S):
            await self.reconcile()

    async def reconcile(self) -> None:
        """Make what is missing for every project."""
        for record in list(self._cluster.projects.all.values()):
            if record.raw.metadata.deletion_timestamp is not None:
                continue
            try:
                await self._reconcile_one(record)
            except ControlPlaneError as error:
                log.warning("project is not ready", project=record.name, error=str(error))

    async def _reconcile_one(self, record: CustomRecord) -> None:
        namespace = self._cluster.namespaces.get(record.name)
        if namespace is None:
            await self._create_namespace(record)
            return
        if (namespace.metadata.labels or {}).get(names.PROJECT_LABEL) != record.name:
            if not _owned(namespace, record):
                await self._set_ready(
                    record,
                    "NamespaceTaken",
                    f"namespace {record.name} was there before: to hand it to the project, "
                    f"kubectl label namespace {record.name} {names.PROJECT_LABEL}={record.name}",
                )
                return
            body = {"metadata": {"labels": {names.PROJECT_LABEL: record.name}}}
            self._cluster.take(NAMESPACES, await self._api.patch(NAMESPACES, record.name, body))
        if namespace.metadata.deletion_timestamp is not None:
            await self._set_ready(record, "NamespaceEnding", f"namespace {record.name} is being deleted")
            return
        missing = [name for name in _TEMPLATES if self._cluster.templates.get(name, record.name) is None]
        for name in missing:
            await self._create_template(record, name)
        if missing:
            return
        await self._set_ready(record, "NamespaceReady", "")

    async def _create_namespace(self, record: CustomRecord) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": record.name,
                "labels": {names.PROJECT_LABEL: record.name},
                "ownerReferences": [_owner(record)],
            },
        }
        try:
            self._cluster.take(NAMESPACES, await self._api.create(NAMESPACES, body))
        except AlreadyExists:
            return

    async def _create_template(self, record: CustomRecord, name: str) -> None:
        requests = [{"name": one, "exactly": {"deviceClassName": names.DEVICE_CLASS}} for one in _TEMPLATES[name]]
        body = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {"name": name, "namespace": record.name, "ownerReferences": [_owner(record)]},
            "spec": {"spec": {"devices": {"requests": requests}}},
        }
        try:
            self._cluster.take(TEMPLATES, await self._api.create(TEMPLATES, body, record.name))
        except AlreadyExists:
            return

    async def _set_ready(self, record: CustomRecord, reason: str, message: str) -> None:
        """Write the project's Ready condition where it differs."""
        conditions: list[dict[str, Any]] = msgspec.json.decode(record.raw.status).get("conditions") or []
        ready = next((c for c in conditions if c["type"] == "Ready"), None)
        if ready is not None and (ready["reason"], ready["message"]) == (reason, message):
            return
        condition = {
            "type": "Ready",
            "status": "True" if reason == "NamespaceReady" else "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "observedGeneration": record.raw.metadata.generation,
        }
        others = [c for c in conditions if c["type"] != "Ready"]
        fence = {"uid": record.uid, "resourceVersion": str(record.version)}
        body = {"metadata": fence, "status": {"conditions": [*others, condition]}}
        try:
            answer = await self._api.patch(PROJECTS, record.name, body, subresource="status")
        except (Conflict, NotFound):
            return
        self._cluster.take(PROJECTS, answer)


def _owner(record: CustomRecord) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "Project", "name": record.name, "uid": record.uid, "controller": True}


def _owned(namespace: MetadataRecord, record: CustomRecord) -> bool:
    return any(owner.uid == record.uid for owner in namespace.metadata.owner_references or ())
