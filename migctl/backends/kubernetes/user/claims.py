"""Claims as users see them: pods and their ResourceClaims, read from the API server each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from migctl.backends.kubernetes.client.resources import CLAIMS
from migctl.backends.kubernetes.meaning import claims, record_of
from migctl.backends.kubernetes.meaning.records import ClaimRecord, GpuPod
from migctl.backends.kubernetes.stores.read_only import ReadOnlyStore
from migctl.backends.kubernetes.stores.watching import watch_by_rereading
from migctl.backends.kubernetes.user.kinds import PODS, REPLICA_SETS, SubmittedPod
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.protocol import Change, Listing, NotFound
from migctl.objects import Claim


@dataclass(frozen=True)
class ClaimsWithPods:
    """One read of pods and claims.

    parents  the uid of what made each ReplicaSet, by the ReplicaSet's uid, where any pod has one
    version  of the pods
    """

    pods: tuple[SubmittedPod, ...]
    claims: tuple[Claim, ...]
    parents: Mapping[str, str]
    version: str


class UserClaims(ReadOnlyStore):
    """The store of claims. A Deployment's pods belong to it, not to the ReplicaSet between them."""

    PLURAL = "claims"

    def __init__(self, api: PermittedApi) -> None:
        self._api = api

    async def list(self, project: str | None) -> Listing[Claim]:
        seen = await self.read(project)
        return Listing(seen.claims, seen.version)

    async def read(self, project: str | None) -> ClaimsWithPods:
        """The claims of a project (None: of all one may see), and the pods they were made of."""
        namespace = project or ""
        (pods, version), (claims, _) = await asyncio.gather(
            self._api.list_objects(PODS, namespace), self._api.list_objects(CLAIMS, namespace)
        )
        parents = await self._parents(pods, namespace)
        by_key = {(pod.metadata.namespace, pod.metadata.name): record_of.pod(pod) for pod in pods}
        found = [
            claim
            for raw in claims
            if (record := record_of.claim(raw)) and (claim := _of(by_key.get((record.namespace, record.pod)), record))
        ]
        ordered = sorted(
            (_under(claim, parents) for claim in found), key=lambda claim: (claim.meta.project, claim.meta.name)
        )
        return ClaimsWithPods(tuple(pods), tuple(ordered), parents, version)

    async def get(self, name: str, project: str) -> Claim:
        for claim in (await self.list(project)).items:
            if claim.meta.name == name:
                return claim
        raise NotFound(f"there is no claim {name!r} in project {project!r}")

    def watch(self, since: str) -> AsyncIterator[Change[Claim]]:
        return watch_by_rereading(self._api, (PODS, CLAIMS), since, self.list)

    async def _parents(self, pods: Iterable[SubmittedPod], namespace: str) -> Mapping[str, str]:
        makers = (pod.metadata.controller for pod in pods)
        if not any(maker is not None and maker.kind == "ReplicaSet" for maker in makers):
            return {}
        sets, _ = await self._api.list_objects(REPLICA_SETS, namespace)
        return {raw.metadata.uid: maker.uid for raw in sets if (maker := raw.metadata.controller) is not None}


def _of(pod: object, record: ClaimRecord) -> Claim | None:
    if isinstance(pod, GpuPod) and pod.uid == record.pod_uid:
        return claims.claim(pod, record)
    return claims.orphan(record, None) if record.grant is not None else None


def _under(claim: Claim, parents: Mapping[str, str]) -> Claim:
    parent = parents.get(claim.spec.workload_uid)
    return claim if parent is None else replace(claim, spec=replace(claim.spec, workload_uid=parent))
