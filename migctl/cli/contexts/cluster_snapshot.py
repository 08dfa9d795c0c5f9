"""What a decision would be made from now, as far as the user may see it.

Whoever may see machines and everybody's pods gets what the controller sees: taints, free CPU and memory, disruption
budgets. All others get GPUs, queues and their own work; what they do not see counts as taken, by the nodes' reports.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

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
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.protocol import Forbidden
from migctl.controller import observe
from migctl.controller.kubernetes.agent_liveness import Heartbeats
from migctl.controller.kubernetes.snapshot import KubernetesObserver
from solver.model.snapshot import Snapshot

NEEDED: tuple[Resource[Any], ...] = (PROJECTS, DEPARTMENTS, GPU_NODES, NODE_POOLS, PODS, CLAIMS)
NEVER_S = 1e9
"""Whether an agent is silent is decided by the controller, whose clock has watched it."""
IF_ALLOWED: tuple[Resource[Any], ...] = (NODES, BUDGETS)


async def snapshot(api: PermittedApi, now: datetime) -> Snapshot:
    """The cluster at `now`. Raises Forbidden where not even the GPUs may be seen."""
    cluster = ClusterCache(api)

    async def read(resource: Resource[Any]) -> None:
        objects, _ = await api.list_objects(resource)
        cluster.take_all(resource, objects)

    await asyncio.gather(*map(read, NEEDED))
    try:
        await asyncio.gather(*map(read, IF_ALLOWED))
    except Forbidden:
        return observe.snapshot(cluster, now)
    return observe.snapshot(cluster, now) if api.unseen else KubernetesObserver(cluster, Heartbeats(NEVER_S))(now)
