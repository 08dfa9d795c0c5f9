"""The workloads of a cluster, each made of the object that makes its pods, and of its claims.

What user/workload_store.py reads from the API server for one person is read here from caches, for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from migctl.backends.kubernetes.cache.newest import Key, NewestRecords
from migctl.backends.kubernetes.client.resources import Resource
from migctl.backends.kubernetes.meaning import record_of, requests
from migctl.backends.kubernetes.meaning.records import GpuPod, ObjectRecord
from migctl.backends.kubernetes.user import reading
from migctl.backends.kubernetes.user.kinds import (
    DEPLOYMENTS,
    JOBS,
    PODS,
    STATEFUL_SETS,
    SubmittedPod,
)
from migctl.backends.kubernetes.user.workload_store import KNOWN_MAKERS
from migctl.objects import Claim, Workload, WorkloadType

Made = tuple[Any, tuple[Claim, ...], Workload | None]


class RawRecord(ObjectRecord, frozen=True):
    """An object as it came."""

    raw: Any


class WorkloadCache:
    """Records of what makes pods, and the workloads made of them: one is made again only where something changed."""

    def __init__(self) -> None:
        self._jobs, self._sets, self._deployments = (NewestRecords(_record, _ignore) for _ in range(3))
        self._pods: NewestRecords[Any, RawRecord] = NewestRecords(_record_of_pod, _ignore)
        self.records: Mapping[Resource[Any], NewestRecords[Any, RawRecord]] = {
            JOBS: self._jobs,
            STATEFUL_SETS: self._sets,
            DEPLOYMENTS: self._deployments,
            PODS: self._pods,
        }
        """What a ClusterCache fills."""
        self._made: dict[str, Made] = {}

    def all(self, claims: Iterable[Claim]) -> dict[Key, Workload]:
        """The workloads by project and name. Of several of one name, the first by kind."""
        held: defaultdict[str, list[Claim]] = defaultdict(list)
        for claim in claims:
            held[claim.spec.workload_uid].append(claim)
        before, self._made = self._made, {}
        found: dict[Key, Workload] = {}
        for uid, raw in self._makers():
            mine = tuple(held.get(uid, ()))
            known = before.get(uid)
            if known is None or not _same(known[0], raw) or not _same(known[1], mine):
                known = (raw, mine, _workload(uid, raw, mine))
            self._made[uid] = known
            if (workload := known[2]) is not None:
                found.setdefault((workload.meta.project, workload.meta.name), workload)
        return found

    def _makers(self) -> Iterator[tuple[str, Any]]:
        """The uid of every maker of pods, and what it is made of: its kind and object, or its pods."""
        for resource in (JOBS, STATEFUL_SETS, DEPLOYMENTS):
            for record in self.records[resource].all.values():
                yield record.uid, (resource, record.raw)
        others: defaultdict[str, list[SubmittedPod]] = defaultdict(list)
        for record in self._pods.all.values():
            owner = record.raw.metadata.controller
            others[owner.uid if owner is not None else record.uid].append(record.raw)
        for uid, pods in others.items():
            yield uid, (PODS, *pods)


def _workload(uid: str, made_of: tuple[Any, ...], claims: tuple[Claim, ...]) -> Workload | None:
    resource, first, *_ = made_of
    if resource is JOBS:
        return reading.job(first, claims)
    if resource is not PODS:
        usual = WorkloadType.WORKSPACE if resource is STATEFUL_SETS else WorkloadType.INFERENCE
        return reading.replicated(first, usual, claims)
    if first.metadata.controller is None:
        return reading.bare_pod(first, claims)
    seen = record_of.pod(first)
    if not isinstance(seen, GpuPod):
        return None
    name, _, type_ = requests.workload(seen)
    return reading.of_pods(name, uid, type_, made_of[1:], claims)


def _record(raw: Any) -> RawRecord:
    own = raw.metadata
    return RawRecord(
        name=own.name, namespace=own.namespace, uid=own.uid, version=int(own.resource_version or 0), raw=raw
    )


def _record_of_pod(raw: SubmittedPod) -> RawRecord | None:
    """None for a pod whose maker has a cache of its own, and for one without GPUs: of a cluster's pods few are left."""
    owner = raw.metadata.controller
    if owner is not None and owner.kind in KNOWN_MAKERS:
        return None
    asks = reading.gpu_request_of(raw.metadata.annotations or {}, raw.spec) is not None
    return _record(raw) if asks else None


def _same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Whether these are the very same objects."""
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))


def _ignore(before: ObjectRecord | None, after: ObjectRecord | None) -> None:
    """Nothing to do: workloads are made when they are read."""
