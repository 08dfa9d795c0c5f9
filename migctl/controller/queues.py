"""Stored projects, departments and node pools as the solver's queues and policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from migctl.objects import Department, NodePool, PoolQuota, Project, QueueQuota
from solver.model import snapshot as model
from solver.model.snapshot import UNLIMITED, Policy, Quota

EPOCH = datetime.fromtimestamp(0, UTC)


def project(stored: Project) -> model.ProjectQueue:
    """The project as a queue of the solver."""
    spec = stored.spec
    return model.ProjectQueue(
        name=stored.meta.name,
        default=_quota(spec, spec.quota),
        quotas=_pools(spec.pools),
        department=spec.department,
        created=(stored.meta.created or EPOCH).timestamp(),
        min_runtime_s=spec.min_runtime_s,
    )


def department(stored: Department) -> model.DepartmentQueue:
    """The department as a queue of the solver."""
    spec = stored.spec
    return model.DepartmentQueue(
        name=stored.meta.name,
        default=None if spec.quota is None else _quota(spec, spec.quota),
        quotas=_pools(spec.pools),
        created=(stored.meta.created or EPOCH).timestamp(),
    )


def policy(base: Policy, pools: Iterable[NodePool]) -> Policy:
    """The policy with the settings of each node pool."""
    specs = {pool.meta.name: pool.spec for pool in pools}
    spreading = {name: spec.placement for name, spec in specs.items()}
    rules = {name: spec.memory_rule for name, spec in specs.items()}
    return replace(
        base,
        spreading=MappingProxyType({**base.spreading, **spreading}),
        memory_rules=MappingProxyType({**base.memory_rules, **rules}),
    )


def _pools(pools: Mapping[str, PoolQuota]) -> Mapping[str, Quota]:
    return MappingProxyType({name: _quota(spec, spec.quota) for name, spec in pools.items()})


def _quota(spec: QueueQuota, gpus: float) -> Quota:
    return Quota(gpus, spec.limit if spec.limit >= 0 else UNLIMITED, spec.over_quota_weight, spec.priority)
