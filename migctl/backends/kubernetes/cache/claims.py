"""The claims of a cluster, each made of a pod's record and its ResourceClaim's, and remade when one of them changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from migctl.backends.kubernetes.cache.indexes import PodRecord
from migctl.backends.kubernetes.cache.newest import Key, NewestRecords
from migctl.backends.kubernetes.meaning import claims
from migctl.backends.kubernetes.meaning.records import ClaimRecord, GpuPod
from migctl.objects import Claim, Phase
from nodeagent.contract.allocation import Allocation


class ClaimCache:
    """Claims by namespace and name of the ResourceClaim.

    update() only marks what changed. The claim is remade by the next read, so that a burst of changes costs one.
    A claim stays after it was deleted while its node's agent reports its devices as held.

    pod_named  the pod of a name and namespace
    """

    def __init__(
        self,
        records: NewestRecords[Any, ClaimRecord],
        pod_named: Callable[[str, str], PodRecord | None],
    ) -> None:
        self._records = records
        self._pod_named = pod_named
        self._uids: set[str] = set()
        self._reported: dict[str, tuple[Allocation, ...]] = {}
        self._newly_reported: set[str] = set()
        self._gone: dict[Key, Claim] = {}
        self._claims: dict[Key, Claim] = {}
        self._of_workload: defaultdict[Key, set[Key]] = defaultdict(set)
        self._starting: set[Key] = set()
        self._suspended: set[Key] = set()
        self._stale: set[Key] = set()

    def pod_changed(self, before: PodRecord | None, after: PodRecord | None) -> None:
        """Mark the claim of a pod whose record changed."""
        for pod in (before, after):
            if isinstance(pod, GpuPod) and pod.claim:
                self._stale.add((pod.namespace, pod.claim))

    def claim_changed(self, before: ClaimRecord | None, after: ClaimRecord | None) -> None:
        """Mark a claim whose record changed."""
        for record in (before, after):
            if record is not None:
                self._stale.add((record.namespace, record.name))
        if before is not None:
            self._uids.discard(before.uid)
        if after is not None:
            self._uids.add(after.uid)

    def reported(self, node: str, allocations: tuple[Allocation, ...]) -> None:
        """Take in what a node's agent holds."""
        if allocations != self._reported.get(node, ()):
            self._reported[node] = allocations
            self._newly_reported.add(node)

    def all(self) -> Mapping[Key, Claim]:
        """The claims as they are now."""
        self._stale.update(key for key, claim in self._gone.items() if not self._outlives(claim))
        for key in self._stale:
            self._remake(key)
        self._stale.clear()
        self._add_deleted_before()
        return self._claims

    @property
    def gone(self) -> frozenset[str]:
        """The uids of claims that were deleted and whose devices are still held."""
        return frozenset(claim.meta.uid for claim in self._gone.values())

    def pod_of(self, claim: ClaimRecord) -> GpuPod | None:
        """The pod that a claim was made for, while it exists."""
        pod = self._pod_named(claim.pod, claim.namespace)
        return pod if isinstance(pod, GpuPod) and pod.uid == claim.pod_uid else None

    def _outlives(self, claim: Claim) -> bool:
        """Whether a claim's devices are still held though it was deleted."""
        grant = claim.status.allocation
        held = () if grant is None else self._reported.get(grant.node, ())
        return claim.meta.uid not in self._uids and any(claim.meta.uid == allocation.claim for allocation in held)

    def _add_deleted_before(self) -> None:
        """Add claims that were deleted before this cache was there, as the agents that hold their devices know them."""
        known = {claim.meta.uid for claim in self._gone.values()} if self._newly_reported else ()
        for node in self._newly_reported:
            for held in self._reported[node]:
                if held.project and held.claim not in self._uids and held.claim not in known:
                    self._add_deleted(held)
        self._newly_reported.clear()

    def _add_deleted(self, held: Allocation) -> None:
        pod = self._pod_named(held.name, held.project)
        pod = pod if isinstance(pod, GpuPod) and self._records.get(pod.claim, held.project) is None else None
        record = claims.record_of(held, pod)
        made = claims.orphan(record, None) if pod is None else claims.gone(claims.claim(pod, record), pod)
        key = (held.project, record.name)
        self._claims[key] = self._gone[key] = made
        self._of_workload[made.meta.project, made.spec.workload].add(key)

    def pod_of_workload(self, name: str, project: str) -> GpuPod | None:
        """A pod of a workload, while it has one."""
        self.all()
        return next((pod for pod, _ in self._pairs(self._of_workload.get((project, name), ()))), None)

    def starting(self) -> tuple[tuple[GpuPod, ClaimRecord], ...]:
        """Pods that have an allocation and do not run yet."""
        self.all()
        return tuple(self._pairs(self._starting))

    def suspended(self) -> tuple[tuple[GpuPod, Claim], ...]:
        """Pods that something else than their place holds back: other gates, or a request that cannot be read."""
        claims = self.all()
        pods = ((pod, claims.get((record.namespace, record.name))) for pod, record in self._pairs(self._suspended))
        return tuple((pod, claim) for pod, claim in pods if claim is not None)

    def _pairs(self, keys: Iterable[Key]) -> Iterable[tuple[GpuPod, ClaimRecord]]:
        for namespace, name in keys:
            record = self._records.get(name, namespace)
            pod = self.pod_of(record) if record else None
            if record is not None and pod is not None:
                yield pod, record

    def _remake(self, key: Key) -> None:
        record = self._records.get(key[1], key[0])
        pod = self.pod_of(record) if record else None
        self._starting.discard(key)
        self._suspended.discard(key)
        last = self._claims.get(key)
        if last is not None:
            self._of_workload[last.meta.project, last.spec.workload].discard(key)
            if not self._of_workload[last.meta.project, last.spec.workload]:
                del self._of_workload[last.meta.project, last.spec.workload]
        self._gone.pop(key, None)
        if record is None and last is not None and self._outlives(last):
            user = self._pod_named(last.meta.name, last.meta.project)
            user = user if isinstance(user, GpuPod) and user.claim == key[1] else None
            self._claims[key] = made = self._gone[key] = claims.gone(last, user)
        elif record is None or (pod is None and record.grant is None):
            self._claims.pop(key, None)
            return
        elif pod is None:
            self._claims[key] = made = claims.orphan(record, last)
        else:
            self._claims[key] = made = claims.claim(pod, record)
            if made.status.phase is Phase.INITIALIZING:
                self._starting.add(key)
            elif made.status.phase is Phase.SUSPENDED:
                self._suspended.add(key)
        self._of_workload[made.meta.project, made.spec.workload].add(key)
