"""Queues as tables: quota, what is used of it, and what is fair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from migctl import quantities
from migctl.cli.output.tables import Column
from migctl.cli.queues.fields import WEIGHTS
from migctl.objects import Department, PoolQuota, PoolUsage, Project
from solver.model.snapshot import UNLIMITED

Q = TypeVar("Q", Project, Department)


def figures(of: type[Q]) -> Sequence[Column[Q]]:
    """What a queue may use and uses."""
    return (
        _gpus("QUOTA", lambda queue: queue.spec.quota),
        _gpus("LIMIT", lambda queue: queue.spec.limit, drop=1),
        Column("WEIGHT", lambda queue: weight_text(queue.spec.over_quota_weight), wide=True, drop=6),
        Column("PRIORITY", lambda queue: str(queue.spec.priority), wide=True, drop=7),
        _gpus("ALLOCATED", lambda queue: queue.status.allocated),
        Column("RATIO", lambda queue: ratio_text(queue.status.allocated, queue.spec.quota), drop=8),
        _gpus("NON-PREEMPTIBLE", lambda queue: queue.status.non_preemptible, brief="NON-PREEMPT", drop=4),
        _gpus("REQUESTED", lambda queue: queue.status.requested, drop=3),
        _gpus("FAIR SHARE", lambda queue: queue.status.fair_share),
    )


def _gpus(header: str, value: Callable[[Q], float | None], brief: str = "", drop: int = 0) -> Column[Q]:
    return Column(
        header,
        lambda queue: gpus_text(value(queue)),
        key=lambda queue: value(queue) or 0.0,
        brief=brief,
        drop=drop,
    )


PoolRow = tuple[str, PoolQuota, PoolUsage]

POOL_COLUMNS: Sequence[Column[PoolRow]] = (
    Column("NODE POOL", lambda row: row[0]),
    Column("QUOTA", lambda row: gpus_text(row[1].quota)),
    Column("LIMIT", lambda row: gpus_text(row[1].limit), drop=1),
    Column("WEIGHT", lambda row: weight_text(row[1].over_quota_weight), drop=4),
    Column("ALLOCATED", lambda row: gpus_text(row[2].allocated)),
    Column("RATIO", lambda row: ratio_text(row[2].allocated, row[1].quota), drop=5),
    Column("NON-PREEMPTIBLE", lambda row: gpus_text(row[2].non_preemptible), brief="NON-PREEMPT", drop=3),
    Column("REQUESTED", lambda row: gpus_text(row[2].requested), drop=2),
    Column("FAIR SHARE", lambda row: gpus_text(row[2].fair_share)),
)


def weight_text(value: float) -> str:
    """The name of an over-quota weight, or its number where it has none."""
    return next((name for name, weight in WEIGHTS.items() if weight == value), f"{value:g}")


def gpus_text(value: float | None) -> str:
    """GPUs of a quota or limit; "" where a department has none of its own."""
    if value is None:
        return ""
    return "unlimited" if value == UNLIMITED else quantities.gpus_text(value)


def ratio_text(allocated: float, quota: float | None) -> str:
    """What is allocated, of the quota: `150%`; "" where there is no quota to compare with."""
    return f"{allocated / quota:.0%}" if quota is not None and quota > 0 else ""
