"""Quotas as clients know them, a list of resources per node pool, from and to those that are stored.

The entry of the pool `default`, or of none, is the queue's own quota: it counts in every pool without one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from migctl.api.v1.errors import refusal
from migctl.api.v1.schemas.organization import GpuQuota, PoolName, PoolResources, UncountedQuota
from migctl.objects import Department, PoolQuota, Project, QueueQuota
from solver.model.cluster import DEFAULT_POOL
from solver.model.snapshot import UNLIMITED

NOTHING = (None, 0, UNLIMITED)
"""What a quota of CPU or memory may say: clients send it along with that of GPUs."""
USUAL_WEIGHTS = (None, 0, 1, 2)
_WHOLE = re.compile(r"-?[0-9]{1,6}")


def resources_of(queue: Project | Department, pools: Mapping[str, str]) -> list[PoolResources]:
    """What a queue may use of each pool. pools: their ids by name."""
    spec = queue.spec
    names = sorted({DEFAULT_POOL, *pools, *spec.pools}, key=lambda name: (name != DEFAULT_POOL, name))
    return [_out(name, pools.get(name, name), spec.pools.get(name, spec)) for name in names]


def total(queue: Project | Department, pools: Iterable[str]) -> float:
    """The quotas of all pools together; -1: unlimited."""
    names = {DEFAULT_POOL, *pools, *queue.spec.pools}
    quotas = [queue.spec.pools.get(name, queue.spec).quota or 0.0 for name in names]
    return UNLIMITED if UNLIMITED in quotas else sum(quotas)


def changes_of(
    sent: Sequence[PoolResources], queue: Project | Department, pools: Mapping[str, str], *, partly: bool
) -> dict[str, Any]:
    """A merge patch of the queue's spec. partly: what is not named stays as it is. Raises Invalid."""
    entries = _by_pool(sent, pools)
    spec = queue.spec
    own = _own(spec, entries.get(DEFAULT_POOL), partly=partly)
    changes: dict[str, Any] = dict(own)
    changed: dict[str, Any] = {} if partly else dict.fromkeys(set(spec.pools) - set(entries))
    for name, entry in entries.items():
        if name == DEFAULT_POOL:
            continue
        before = spec.pools.get(name)
        wanted = _wanted(before or PoolQuota(), entry, partly=partly and before is not None)
        if before is not None or any(own.get(field, _wire(spec)[field]) != value for field, value in wanted.items()):
            changed[name] = wanted
    if changed:
        changes["pools"] = changed
    return changes


def _own(spec: QueueQuota, entry: PoolResources | None, *, partly: bool) -> dict[str, Any]:
    return {} if entry is None else _wanted(spec, entry, partly=partly)


def _wanted(before: QueueQuota, entry: PoolResources, *, partly: bool) -> dict[str, Any]:
    """The fields of a QueueQuota that an entry sets, as they travel."""
    kept = _wire(before if partly else type(before)())
    gpu = entry.gpu
    if gpu is not None:
        given = gpu.model_fields_set
        if "deserved" in given:
            kept["quota"] = gpu.deserved
        if "limit" in given:
            kept["limit"] = UNLIMITED if gpu.limit is None else gpu.limit
        if gpu.over_quota_weight is not None:
            kept["overQuotaWeight"] = gpu.over_quota_weight
    if entry.priority:
        kept["priority"] = _priority(entry.priority)
    return kept


def _wire(quota: QueueQuota) -> dict[str, Any]:
    fields = asdict(quota)
    names = {"quota": "quota", "limit": "limit", "overQuotaWeight": "over_quota_weight", "priority": "priority"}
    return {sent: fields[name] for sent, name in names.items()}


def _by_pool(sent: Sequence[PoolResources], pools: Mapping[str, str]) -> dict[str, PoolResources]:
    names = {uid: name for name, uid in pools.items()}
    found: dict[str, PoolResources] = {}
    for number, entry in enumerate(sent):
        here = f"resources.{number}"
        _check_uncounted(f"{here}.cpu", entry.cpu)
        _check_uncounted(f"{here}.memory", entry.memory)
        pool = entry.node_pool
        key = (pool.id or pool.name or DEFAULT_POOL) if pool is not None else DEFAULT_POOL
        name = names.get(key, key)
        if name not in (DEFAULT_POOL, *pools):
            raise refusal(f"{here}.nodePool", f"no node pool is called {key[:64]!r}", "GET /api/v1/node-pools")
        if name in found:
            raise refusal(f"{here}.nodePool", f"{name!r} is named twice")
        found[name] = entry
    return found


def _check_uncounted(field: str, quota: UncountedQuota | None) -> None:
    if quota is None:
        return
    for name, value in (("deserved", quota.deserved), ("limit", quota.limit)):
        if value not in NOTHING:
            raise refusal(f"{field}.{name}", "is not supported: quotas are of GPUs", "leave it out, or -1")
    if quota.over_quota_weight not in USUAL_WEIGHTS:
        raise refusal(f"{field}.overQuotaWeight", "is not supported: quotas are of GPUs", "leave it out")


def _priority(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise refusal("resources.priority", f"{text[:40]!r} is no whole number of up to 6 digits", "for example 0")
    return int(text)


def _out(name: str, uid: str, quota: QueueQuota) -> PoolResources:
    return PoolResources(
        node_pool=PoolName(id=uid, name=name),
        gpu=GpuQuota(
            deserved=quota.quota,
            limit=None if quota.limit == UNLIMITED else quota.limit,
            over_quota_weight=quota.over_quota_weight,
        ),
        priority=str(quota.priority),
    )
