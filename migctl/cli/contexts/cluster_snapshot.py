"""What a decision would be made from now, as far as the user may see it.

Whoever may see machines and everybody's pods gets what the controller sees: taints, free CPU and memory, disruption
budgets. All others get GPUs, queues and their own work; what they do not see counts as taken, by the nodes' reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.client.resources import (
    BUDGETS,
    CLAIMS,
    DEPARTMENTS,
    GPU_NODES,
    NODE_POOLS,
    NODES,
    PODS,
    PROJECTS,
    Resource,
)
from migctl.backends.kubernetes.meaning import names
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.protocol import Forbidden
from migctl.controller import queues
from migctl.controller.kubernetes.agent_liveness import Heartbeats
from migctl.controller.kubernetes.snapshot import KubernetesObserver
from migctl.controller.loop import Observing
from migctl.controller.observe import Observer
from migctl.objects import Claim, GpuNode, NodePool, Project, Workload, WorkloadVerdict
from migctl.solver_process.planning import plan
from migctl.verdicts.deciding import admitted, decided
from solver.model.snapshot import Policy, Snapshot

NEEDED: tuple[Resource[Any], ...] = (PROJECTS, DEPARTMENTS, GPU_NODES, NODE_POOLS, PODS, CLAIMS)
LEFT_OUT = "taints, free CPU and memory of nodes and disruption budgets are not yours to see, and were left out"
NEVER_S = 1e9
"""Whether an agent is silent is decided by the controller, whose clock has watched it."""
IF_ALLOWED: tuple[Resource[Any], ...] = (NODES, BUDGETS)


async def snapshot(api: PermittedApi, now: datetime) -> Snapshot:
    """The cluster at `now`. Raises Forbidden where not even the GPUs may be seen."""
    observer = await _observer(api, ClusterCache(api))
    return observer.snapshot(observer.capture(), now)


async def verdict(api: PermittedApi, workload: Workload, now: datetime) -> WorkloadVerdict:
    """What the controller would do with the workload at `now`, as far as the user sees what it sees."""
    cluster = ClusterCache(api)
    observer = await _observer(api, cluster)
    pools = cluster.all(NodePool)
    workload = admitted(workload, cluster.all(Project), cluster.all(GpuNode), pools)
    policy = queues.policy(Policy(), pools)

    def users_of(claims: Collection[str]) -> Mapping[str, str]:
        labels = {claim.meta.uid: claim.meta.labels for claim in cluster.all(Claim) if claim.meta.uid in claims}
        return {uid: found.get(names.USER_LABEL, "") for uid, found in labels.items()}

    made = await asyncio.to_thread(decided, observer, observer.capture(), workload, plan, policy, now, users_of)
    if isinstance(observer, KubernetesObserver):
        return made
    return replace(made, note="; ".join(filter(None, (made.note, LEFT_OUT))))


async def _observer(api: PermittedApi, cluster: ClusterCache) -> Observing[Any]:
    """What makes snapshots of all that the user may read; it is read into the cache now."""

    async def read(resource: Resource[Any]) -> None:
        objects, _ = await api.list_objects(resource)
        cluster.take_all(resource, objects)

    await asyncio.gather(*map(read, NEEDED))
    try:
        await asyncio.gather(*map(read, IF_ALLOWED))
    except Forbidden:
        return Observer(cluster)
    return Observer(cluster) if api.unseen else KubernetesObserver(cluster, Heartbeats(NEVER_S))
