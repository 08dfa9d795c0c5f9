"""The controller's store of claims, each a pod and its ResourceClaim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.meaning.records import GpuPod
from migctl.backends.kubernetes.stores.read_only import ReadOnlyStore
from migctl.backends.protocol import Listing, NotFound
from migctl.controller.kubernetes.claims.placements import Placements
from migctl.controller.kubernetes.claims.pod_patches import PodPatches
from migctl.objects import Claim


class ControllerClaims(ReadOnlyStore):
    """Claims read from the cache, each field written to the object that holds it."""

    PLURAL = "claims"

    def __init__(self, cluster: ClusterCache, placements: Placements, pods: PodPatches) -> None:
        self._cluster = cluster
        self._placements = placements
        self._pods = pods

    async def list(self, project: str | None) -> Listing[Claim]:
        """The claims as the cache has them."""
        found = (claim for claim in self._cluster.all(Claim) if project in (None, claim.meta.project))
        return Listing(tuple(found), "0")

    async def get(self, name: str, project: str) -> Claim:
        """The claim, read anew from the API server."""
        pod = self._cluster.pods.get(name, project)
        if isinstance(pod, GpuPod):
            await self._pods.refresh(pod)
            record = self._cluster.claims.get(pod.claim, project)
            if record is not None:
                await self._placements.refresh(record)
        found = self._cluster.get(Claim, name, project)
        if found is None:
            raise _missing(name, project)
        return found

    async def patch(self, obj: Claim, changes: Mapping[str, Any], fenced: bool) -> Claim:
        """Write status fields. Raises NotFound, Conflict, Invalid."""
        return await self._placements.patch(obj, changes, fenced)

    async def delete(self, obj: Claim) -> None:
        """Evict the pod. Raises BudgetExhausted, NotFound."""
        await self._placements.evict(obj)


def _missing(name: str, project: str) -> NotFound:
    return NotFound(f"there is no claim {name!r} in project {project!r}")
