"""Claims, each the join of a pod and its ResourceClaim."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from migctl.backends.kubernetes import joined, records
from migctl.backends.kubernetes.api import Api
from migctl.backends.kubernetes.cluster import Cluster
from migctl.backends.kubernetes.placements import Placements
from migctl.backends.kubernetes.pod_patches import PodPatches
from migctl.backends.kubernetes.records import ClaimRecord, GpuPod
from migctl.backends.kubernetes.resources import CLAIMS, PODS
from migctl.backends.kubernetes.stores.read_only import ReadOnly
from migctl.backends.kubernetes.stores.watching import joined_watch
from migctl.backends.protocol import Change, Listing, NotFound
from migctl.objects import Claim


class ControllerClaims(ReadOnly):
    """The controller's: seen in its live copy, written where each field belongs."""

    WORD = "claims"

    def __init__(self, cluster: Cluster, placements: Placements, pods: PodPatches) -> None:
        self._cluster = cluster
        self._placements = placements
        self._pods = pods

    async def list(self, project: str | None) -> Listing[Claim]:
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
        return await self._placements.patch(obj, changes, fenced)

    async def delete(self, obj: Claim) -> None:
        await self._placements.evict(obj)


class ClaimReader(ReadOnly):
    """People's: read from the API server each time."""

    WORD = "claims"

    def __init__(self, api: Api) -> None:
        self._api = api

    async def list(self, project: str | None) -> Listing[Claim]:
        namespace = project or ""
        (pods, version), (claims, _) = await asyncio.gather(
            self._api.list_objects(PODS, namespace), self._api.list_objects(CLAIMS, namespace)
        )
        return Listing(join((records.pod(p) for p in pods), (records.claim(c) for c in claims)), version)

    async def get(self, name: str, project: str) -> Claim:
        found = (claim for claim in (await self.list(project)).items if claim.meta.name == name)
        for claim in found:
            return claim
        raise _missing(name, project)

    def watch(self, since: str) -> AsyncIterator[Change[Claim]]:
        return joined_watch(self._api, (PODS, CLAIMS), since, self.list)


def join(pods: Any, claims: Any) -> tuple[Claim, ...]:
    """The claims of some pods and ResourceClaims, ordered by project and name."""
    by_key = {(pod.namespace, pod.name): pod for pod in pods if isinstance(pod, GpuPod)}
    found = []
    for record in claims:
        if not isinstance(record, ClaimRecord):
            continue
        pod = by_key.get((record.namespace, record.pod))
        if pod is not None and pod.uid == record.pod_uid:
            found.append(joined.claim(pod, record))
        elif record.grant is not None:
            found.append(joined.orphan(record, None))
    return tuple(sorted(found, key=lambda claim: (claim.meta.project, claim.meta.name)))


def _missing(name: str, project: str) -> NotFound:
    return NotFound(f"there is no claim {name!r} in project {project!r}")
