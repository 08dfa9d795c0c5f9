"""ClusterView: every kind of object of a cluster as the REST API shows it, cached."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import structlog
from msgspec.structs import replace

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.cache.newest import Key, NewestRecords
from migctl.backends.kubernetes.cache.reflector import DEFAULT_TIMING, Timing
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import PLANS, Resource
from migctl.backends.kubernetes.meaning import custom, record_of
from migctl.backends.kubernetes.meaning.records import CustomRecord, MetadataRecord, ObjectRecord
from migctl.backends.kubernetes.overview.workloads import WorkloadCache
from migctl.backends.kubernetes.user import nodes
from migctl.backends.kubernetes.user.kinds import REPLICA_SETS
from migctl.backends.protocol import Invalid
from migctl.objects import Claim, GpuNode, Object, PlacementPlan, T, Workload

log = structlog.get_logger()

ABSORBED_S = 10.0
"""How long the answer to a write is shown before the watch tells of it, at most."""
MAX_ABSORBED = 1000


class ClusterView:
    """An ObjectView of a cluster: what a ClusterCache has, and workloads and plans.

    cluster  the records beneath, without what own writes were answered with
    """

    def __init__(
        self, api: KubernetesApi, timing: Timing = DEFAULT_TIMING, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._workloads = WorkloadCache()
        self._plans: NewestRecords[Any, CustomRecord] = NewestRecords(record_of.custom, self._plan_changed)
        self._replica_sets: NewestRecords[Any, MetadataRecord] = NewestRecords(record_of.bare, _ignore)
        self._made_plans: dict[Key, PlacementPlan] = {}
        more: dict[Resource[Any], NewestRecords[Any, Any]] = {PLANS: self._plans, REPLICA_SETS: self._replica_sets}
        more.update(self._workloads.records)
        self.cluster = ClusterCache(api, timing, more)
        self._monotonic = monotonic
        self._made_of = -1
        self._claims: dict[Key, tuple[Claim, Claim]] = {}
        self._shown_claims: Mapping[Key, Claim] = {}
        self._made_workloads: Mapping[Key, Workload] = {}
        self._absorbed: dict[tuple[type[Any], Key], tuple[Any, float]] = {}

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        await self.cluster.run()

    @property
    def synced(self) -> bool:
        return self.cluster.synced

    @property
    def generation(self) -> int:
        """It grows with every batch of changes."""
        return self.cluster.generation

    async def wait(self, seen: int, timeout: float | None = None) -> int:
        return await self.cluster.wait(seen, timeout)

    def all(self, kind: type[T]) -> tuple[T, ...]:
        found = self._objects(kind)
        mine = [one for (of, key), one in list(self._absorbed.items()) if of is kind and self._counts(kind, key, *one)]
        if mine:
            found = {**found, **{_key(obj): self._shown(obj, found.get(_key(obj))) for obj, _ in mine}}
        return cast("tuple[T, ...]", tuple(found.values()))

    def get(self, kind: type[T], name: str, project: str = "") -> T | None:
        """One object; a claim has its pod's name."""
        if kind is Claim:
            found = self.cluster.get(kind, name, project)
            return found if found is None else self._objects(kind).get(_key(found), found)
        key = (project, name)
        cached = self._one(kind, key)
        mine = self._absorbed.get((kind, key))
        if mine is not None and self._counts(kind, key, *mine):
            return cast("T", self._shown(mine[0], cached))
        return cast("T | None", cached)

    async def absorb(self, obj: Object) -> None:
        """Show what a write was answered with, until the watch tells of it."""
        if len(self._absorbed) >= MAX_ABSORBED:
            del self._absorbed[next(iter(self._absorbed))]
        self._absorbed[type(obj), _key(obj)] = (obj, self._monotonic() + ABSORBED_S)
        self.cluster.changed()

    def with_node(self, node: GpuNode) -> GpuNode:
        """A GPU node with what Kubernetes' own Node says of it."""
        return nodes.shown(node, self.cluster.nodes.get(node.meta.name))

    def _counts(self, kind: type[Any], key: Key, obj: Object, until: float) -> bool:
        """Whether an answer to a write is newer than what the watch told."""
        cached = self._one(kind, key)
        newer = cached is None or int(cached.meta.version) < int(obj.meta.version)
        if newer and self._monotonic() < until:
            return True
        self._absorbed.pop((kind, key), None)
        return False

    @staticmethod
    def _shown(obj: Any, cached: Any) -> Any:
        """A workload's status is made of its pods, which the answer to a write does not tell."""
        if isinstance(obj, Workload) and isinstance(cached, Workload) and obj.meta.uid == cached.meta.uid:
            return replace(obj, status=cached.status)
        return obj

    def _one(self, kind: type[Any], key: Key) -> Any:
        if kind in (Claim, Workload, PlacementPlan):
            return self._objects(kind).get(key)
        return self.cluster.get(kind, key[1], key[0])

    def _objects(self, kind: type[Any]) -> Mapping[Key, Any]:
        if kind is PlacementPlan:
            return self._made_plans
        if kind in (Claim, Workload):
            self._make()
            return (
                self._made_workloads if kind is Workload else {key: shown for key, (_, shown) in self._claims.items()}
            )
        return {_key(obj): obj for obj in self.cluster.all(kind)}

    def _make(self) -> None:
        """Make claims and workloads as they are now; what did not change is the same object as before."""
        if self._made_of == self.cluster.generation:
            return
        parents = self._parents()
        before, self._claims = self._claims, {}
        for claim in self.cluster.all(Claim):
            known = before.get(_key(claim))
            parent = parents.get(claim.spec.workload_uid, claim.spec.workload_uid)
            same = known is not None and known[0] is claim and known[1].spec.workload_uid == parent
            self._claims[_key(claim)] = known if same and known is not None else (claim, _under(claim, parent))
        self._shown_claims = {key: shown for key, (_, shown) in self._claims.items()}
        self._made_workloads = self._workloads.all(self._shown_claims.values())
        self._made_of = self.cluster.generation

    def _parents(self) -> Mapping[str, str]:
        """The uid of what made each ReplicaSet, by the ReplicaSet's uid."""
        makers = ((record.uid, record.metadata.controller) for record in self._replica_sets.all.values())
        return {uid: maker.uid for uid, maker in makers if maker is not None}

    def _plan_changed(self, before: CustomRecord | None, after: CustomRecord | None) -> None:
        if after is None:
            assert before is not None
            self._made_plans.pop(("", before.name), None)
            return
        try:
            self._made_plans["", after.name] = custom.plan(after.raw)
        except Invalid as error:
            log.error("cannot read", object=after.name, error=str(error))


def _under(claim: Claim, workload_uid: str) -> Claim:
    """The claim as one of this workload."""
    if claim.spec.workload_uid == workload_uid:
        return claim
    return replace(claim, spec=replace(claim.spec, workload_uid=workload_uid))


def _key(obj: Object) -> Key:
    return obj.meta.project, obj.meta.name


def _ignore(before: ObjectRecord | None, after: ObjectRecord | None) -> None:
    """Nothing to do: what is made of them is made when it is read."""
