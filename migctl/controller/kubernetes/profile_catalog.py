"""The MIG profiles of this cluster, in a ConfigMap that admission reads: an unknown one is refused at once."""

from __future__ import annotations

import structlog

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import CONFIG_MAPS
from migctl.backends.protocol import AlreadyExists, ControlPlaneError, NotFound
from migctl.objects import GpuNode

log = structlog.get_logger()

NAME = "migctl-catalog"
KEY = "migProfiles"
LOOK_AGAIN_S = 60.0


class ProfileCatalogReconciler:
    """Writes the list. Runs on the leader only."""

    def __init__(self, api: KubernetesApi, cluster: ClusterCache, namespace: str) -> None:
        self._api = api
        self._cluster = cluster
        self._namespace = namespace
        self._written: str | None = None

    async def run(self) -> None:
        """Reconcile whenever something changed, and every LOOK_AGAIN_S, until cancelled."""
        async for _ in self._cluster.rounds(LOOK_AGAIN_S):
            try:
                await self.reconcile()
            except ControlPlaneError as error:
                log.warning("the catalog of profiles is not up to date", error=str(error))

    async def reconcile(self) -> None:
        """Write the list where it differs from what was written last."""
        reports = [node.status.report for node in self._cluster.all(GpuNode) if node.status.report is not None]
        names = {p.name for report in reports for model in report.models.values() for p in model.profiles}
        text = " ".join(sorted(names))
        if text == self._written:
            return
        try:
            await self._api.patch(CONFIG_MAPS, NAME, {"data": {KEY: text}}, self._namespace)
        except NotFound:
            await self._create(text)
        self._written = text

    async def _create(self, text: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": self._namespace},
            "data": {KEY: text},
        }
        try:
            await self._api.create(CONFIG_MAPS, body, self._namespace)
        except AlreadyExists:
            await self._api.patch(CONFIG_MAPS, NAME, {"data": {KEY: text}}, self._namespace)
