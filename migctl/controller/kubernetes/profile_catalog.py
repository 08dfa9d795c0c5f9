"""What this cluster has, in a ConfigMap that admission reads: what it never can serve is refused at once."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from migctl import node_pools
from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import CONFIG_MAPS
from migctl.backends.protocol import AlreadyExists, ControlPlaneError, NotFound
from migctl.objects import GpuNode, NodePool

log = structlog.get_logger()

NAME = "migctl-catalog"
LOOK_AGAIN_S = 60.0


class ProfileCatalogReconciler:
    """Writes the list. Runs on the leader only."""

    def __init__(self, api: KubernetesApi, cluster: ClusterCache, namespace: str) -> None:
        self._api = api
        self._cluster = cluster
        self._namespace = namespace
        self._written: dict[str, str] | None = None

    async def run(self) -> None:
        """Reconcile whenever something changed, and every LOOK_AGAIN_S, until cancelled."""
        async for _ in self._cluster.rounds(LOOK_AGAIN_S):
            try:
                await self.reconcile()
            except ControlPlaneError as error:
                log.warning("the catalog of profiles is not up to date", error=str(error))

    async def reconcile(self) -> None:
        """Write the list where it differs from what was written last."""
        data = _catalog(self._cluster.all(GpuNode), self._cluster.all(NodePool))
        if data == self._written:
            return
        try:
            await self._api.patch(CONFIG_MAPS, NAME, {"data": data}, self._namespace)
        except NotFound:
            await self._create(data)
        self._written = data

    async def _create(self, data: dict[str, str]) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": self._namespace},
            "data": data,
        }
        try:
            await self._api.create(CONFIG_MAPS, body, self._namespace)
        except AlreadyExists:
            await self._api.patch(CONFIG_MAPS, NAME, {"data": data}, self._namespace)


def _catalog(nodes: Iterable[GpuNode], pools: Iterable[NodePool]) -> dict[str, str]:
    """The GPU models, MIG profiles and node pools, and the memory of the largest GPU in MiB."""
    reported = [node for node in nodes if node.status.report is not None]
    reports = [node.status.report for node in reported if node.status.report is not None]
    profiles = {p.name for report in reports for model in report.models.values() for p in model.profiles}
    return {
        "gpuModels": " ".join(sorted({gpu.model for report in reports for gpu in report.gpus})),
        "migProfiles": " ".join(sorted(profiles)),
        "nodePools": " ".join(sorted(node_pools.names(reported, pools) if reported else ())),
        "largestMemoryMib": str(max((gpu.memory_mib for report in reports for gpu in report.gpus), default=0)),
    }
