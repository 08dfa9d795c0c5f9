"""Queues of workloads and what they may use: projects, departments; and node pools."""

from __future__ import annotations

from typing import ClassVar

from migctl.objects.record import Meta, Record
from solver.model.snapshot import UNLIMITED, MemoryRule, Spreading


class QueueQuota(Record, frozen=True):
    """What a queue may use, in GPUs; -1: unlimited.

    quota              guaranteed; None: no quota of its own
    limit              never exceeded
    over_quota_weight  its part of the surplus, relative to other queues
    priority           higher takes the surplus first
    """

    quota: float | None = None
    limit: float = UNLIMITED
    over_quota_weight: float = 2.0
    priority: int = 0


class PoolQuota(QueueQuota, frozen=True):
    """What a queue may use of one node pool."""

    quota: float = 0.0


class ProjectSpec(QueueQuota, frozen=True):
    """What a project may use of each node pool; `pools` replaces the quota of the pools it names.

    min_runtime_s  seconds that its preemptible work runs before it may be preempted
    """

    quota: float = 0.0
    department: str | None = None
    min_runtime_s: float = 0.0
    pools: dict[str, PoolQuota] = {}


class PoolUsage(Record, frozen=True):
    """What a queue uses of one node pool, in GPUs of the quota currency.

    requested   pending claims included
    fair_share  what other queues cannot reclaim from it now
    """

    allocated: float = 0.0
    non_preemptible: float = 0.0
    requested: float = 0.0
    fair_share: float = 0.0


class ProjectStatus(PoolUsage, frozen=True):
    """What a queue uses of all node pools together; `pools`: of each, where there are several."""

    pools: dict[str, PoolUsage] = {}


class Project(Record, frozen=True, tag_field="kind", tag="Project"):
    """A queue of workloads with its own quota."""

    PLURAL: ClassVar[str] = "projects"
    meta: Meta
    spec: ProjectSpec = ProjectSpec()
    status: ProjectStatus = ProjectStatus()


class DepartmentSpec(QueueQuota, frozen=True):
    """What all projects of the department may use together; quota None: they share as if they had no department."""

    pools: dict[str, PoolQuota] = {}


class Department(Record, frozen=True, tag_field="kind", tag="Department"):
    """A queue of projects."""

    PLURAL: ClassVar[str] = "departments"
    meta: Meta
    spec: DepartmentSpec = DepartmentSpec()
    status: ProjectStatus = ProjectStatus()


class NodePoolSpec(Record, frozen=True):
    """How a pool's nodes are used (without an object by these defaults), and the label of its nodes, if it has one.

    placement    how work is spread over them
    memory_rule  which instance serves a request for memory or a fraction
    """

    placement: Spreading = Spreading.BINPACK
    memory_rule: MemoryRule = MemoryRule.PROPORTIONAL
    label_key: str = ""
    label_value: str = ""


class NodePool(Record, frozen=True, tag_field="kind", tag="NodePool"):
    """The nodes that have its label, and those without any pool's that name it."""

    PLURAL: ClassVar[str] = "nodepools"
    meta: Meta
    spec: NodePoolSpec = NodePoolSpec()
