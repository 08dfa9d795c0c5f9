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


class ClaimCache:
    """Claims by namespace and name of the ResourceClaim.

    update() only marks what changed. The claim is remade by the next read, so that a burst of changes costs one.

    pod_named  the pod of a name and namespace
    held       whether a node's agent holds the devices of a claim, by node and uid: then it stays after it was deleted
    """

    def __init__(
        self,
        records: NewestRecords[Any, ClaimRecord],
        pod_named: Callable[[str, str], PodRecord | None],
        held: Callable[[str, str], bool],
    ) -> None:
        self._records = records
        self._pod_named = pod_named
        self._held = held
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
        self._stale.update((record.namespace, record.name) for record in (before, after) if record is not None)

    def all(self) -> Mapping[Key, Claim]:
        """The claims as they are now."""
        self._stale.update(key for key, claim in self._gone.items() if not self._is_held(claim))
        for key in self._stale:
            self._remake(key)
        self._stale.clear()
        return self._claims

    @property
    def gone(self) -> frozenset[str]:
        """The uids of claims that were deleted and whose devices are still held."""
        return frozenset(claim.meta.uid for claim in self._gone.values())

    def pod_of(self, claim: ClaimRecord) -> GpuPod | None:
        """The pod that a claim was made for, while it exists."""
        pod = self._pod_named(claim.pod, claim.namespace)
        return pod if isinstance(pod, GpuPod) and pod.uid == claim.pod_uid else None

    def _is_held(self, claim: Claim) -> bool:
        return claim.status.allocation is not None and self._held(claim.status.allocation.node, claim.meta.uid)

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
        if record is None and last is not None and self._is_held(last):
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
