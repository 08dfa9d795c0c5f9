"""The status of projects and departments: GPUs allocated, requested and their fair share."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from migctl.backends.merge import difference
from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import Conflict, ControlPlane, NotFound
from migctl.objects import Department, PoolUsage, Project, ProjectStatus
from solver.model.snapshot import Snapshot
from solver.quota.accounting import Usage, usage
from solver.quota.ledger import Account, Ledger

DECIMALS = 3
ByPool = dict[str, PoolUsage]
Q = TypeVar("Q", Project, Department)


async def publish(control_plane: ControlPlane, mirror: ObjectView, state: Snapshot) -> None:
    """Write every status that differs from the stored one."""
    ledger, used = await asyncio.to_thread(lambda: (Ledger(state), usage(state)))
    projects = _by_queue(ledger.accounts)
    members: defaultdict[str, list[str]] = defaultdict(list)
    for project in mirror.all(Project):
        name = project.meta.name
        members[project.spec.department or ""].append(name)
        await _write(control_plane, mirror, project, _status(projects[name], used.get(name, Usage())))
    for department in mirror.all(Department):
        names = members[department.meta.name]
        pools = _total(projects[name] for name in names) | _by_queue(ledger.departments)[department.meta.name]
        requested = sum(used[name].requested for name in names if name in used)
        await _write(control_plane, mirror, department, _status(pools, Usage(requested=requested)))


def _by_queue(accounts: Mapping[tuple[str, str], Account]) -> defaultdict[str, ByPool]:
    found: defaultdict[str, ByPool] = defaultdict(dict)
    for (name, pool), account in accounts.items():
        found[name][pool] = PoolUsage(
            allocated=round(account.allocated, DECIMALS),
            non_preemptible=round(account.non_preemptible, DECIMALS),
            requested=round(account.wanted, DECIMALS),
            fair_share=round(account.fair_share, DECIMALS),
        )
    return found


def _total(queues: Iterable[ByPool]) -> ByPool:
    """The sum of several queues, pool by pool."""
    total: ByPool = {}
    for pools in queues:
        for pool, figures in pools.items():
            total[pool] = _sum([total.get(pool, PoolUsage()), figures])
    return total


def _sum(figures: Iterable[PoolUsage]) -> PoolUsage:
    listed = list(figures)
    return PoolUsage(
        allocated=round(sum(f.allocated for f in listed), DECIMALS),
        non_preemptible=round(sum(f.non_preemptible for f in listed), DECIMALS),
        requested=round(sum(f.requested for f in listed), DECIMALS),
        fair_share=round(sum(f.fair_share for f in listed), DECIMALS),
    )


def _status(pools: ByPool, used: Usage) -> ProjectStatus:
    """A queue's status; `requested` of the whole queue includes what cannot start."""
    whole = _sum(pools.values())
    return ProjectStatus(
        allocated=whole.allocated,
        non_preemptible=whole.non_preemptible,
        requested=round(used.requested, DECIMALS),
        fair_share=whole.fair_share,
        pools=pools if len(pools) > 1 else {},
    )


async def _write(control_plane: ControlPlane, mirror: ObjectView, queue: Q, status: ProjectStatus) -> None:
    changes = difference(queue, replace(queue, status=status))
    if changes:
        try:
            await mirror.absorb(await control_plane.patch(queue, changes, fenced=True))
        except (Conflict, NotFound):
            return
