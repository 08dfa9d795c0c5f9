"""The workloads of a cluster, each made of the object that makes its pods, and of its claims.

What user/workload_store.py reads from the API server for one person is read here from caches, for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import is_
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
    KubernetesJob,
    ReplicatedWorkload,
    SubmittedPod,
)
from migctl.backends.kubernetes.user.workload_store import KNOWN_MAKERS
from migctl.objects import Claim, Workload, WorkloadType

Made = tuple["tuple[RawRecord, ...]", Sequence[Claim], Workload | None]


class RawRecord(ObjectRecord, frozen=True):
    """An object as it came."""

    kind: Resource[Any]
    raw: Any


class WorkloadCache:
    """Records of what makes pods, and the workloads made of them: one is made again only where something changed."""

    def __init__(self) -> None:
        self._jobs, self._sets, self._deployments = (
            NewestRecords(partial(_record, kind), _ignore) for kind in (JOBS, STATEFUL_SETS, DEPLOYMENTS)
        )
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
        before, made = self._made, {}
        found: dict[Key, Workload] = {}
        for uid, made_of in self._makers():
            mine = held.get(uid, ())
            known = before.get(uid)
            if known is None or not _same(known[0], made_of) or not _same(known[1], mine):
                known = (made_of, mine, _workload(uid, made_of, tuple(mine)))
            made[uid] = known
            if (workload := known[2]) is not None:
                found.setdefault((workload.meta.project, workload.meta.name), workload)
        self._made = made
        return found

    def _makers(self) -> Iterator[tuple[str, tuple[RawRecord, ...]]]:
        """The uid of every maker of pods, and the records that it is made of: its own, or its pods'."""
        for records in (self._jobs, self._sets, self._deployments):
            for record in records.all.values():
                yield record.uid, (record,)
        others: defaultdict[str, list[RawRecord]] = defaultdict(list)
        for record in self._pods.all.values():
            owner = record.raw.metadata.controller
            others[owner.uid if owner is not None else record.uid].append(record)
        for uid, pods in others.items():
            yield uid, tuple(pods)


def _workload(uid: str, made_of: tuple[RawRecord, ...], claims: tuple[Claim, ...]) -> Workload | None:
    first = made_of[0].raw
    if isinstance(first, KubernetesJob):
        return reading.job(first, claims)
    if isinstance(first, ReplicatedWorkload):
        usual = WorkloadType.WORKSPACE if made_of[0].kind is STATEFUL_SETS else WorkloadType.INFERENCE
        return reading.replicated(first, usual, claims)
    if first.metadata.controller is None:
        return reading.bare_pod(first, claims)
    seen = record_of.pod(first)
    if not isinstance(seen, GpuPod):
        return None
    name, _, type_ = requests.workload(seen)
    return reading.of_pods(name, uid, type_, [one.raw for one in made_of], claims)


def _record(kind: Resource[Any], raw: Any) -> RawRecord:
    own = raw.metadata
    version = int(own.resource_version or 0)
    return RawRecord(name=own.name, namespace=own.namespace, uid=own.uid, version=version, kind=kind, raw=raw)


def _record_of_pod(raw: SubmittedPod) -> RawRecord | None:
    """None for a pod whose maker has a cache of its own, and for one without GPUs: of a cluster's pods few are left."""
    owner = raw.metadata.controller
    if owner is not None and owner.kind in KNOWN_MAKERS:
        return None
    asks = reading.gpu_request_of(raw.metadata.annotations or {}, raw.spec) is not None
    return _record(PODS, raw) if asks else None


def _same(before: Sequence[Any], now: Sequence[Any]) -> bool:
    """Whether these are the very same objects."""
    return len(before) == len(now) and all(map(is_, before, now))


def _ignore(before: ObjectRecord | None, after: ObjectRecord | None) -> None:
    """Nothing to do: workloads are made when they are read."""
