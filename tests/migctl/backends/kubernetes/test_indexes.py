"""The sums and look-ups of the cache hold what there is, and nothing of nodes and GPUs that are gone."""

from __future__ import annotations

import gc
import sys
from typing import Any

from migctl.backends.kubernetes.cache.indexes import GpuHolders, PodIndex
from migctl.backends.kubernetes.meaning.records import ClaimRecord, NonGpuPod
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant


def pod(node: str, agent: bool | None = None) -> NonGpuPod:
    return NonGpuPod(name="p", namespace="n", uid="u", version=1, node=node, requests=(100, 10), agent=agent)


def claim(gpu: str) -> ClaimRecord:
    share = DeviceShare(gpu, Backing.WHOLE, 1.0, 16160)
    none: Any = None
    return ClaimRecord(
        name="c",
        namespace="n",
        uid="u",
        version=1,
        pod="p",
        pod_uid="u",
        created=none,
        deleting=none,
        finalizers=(),
        grant=Grant("node", (share,)),
        broken="",
        allocated=none,
        reserved=False,
    )


def size(index: object) -> int:
    """Bytes of an index and of all that it refers to in it."""
    seen, todo, total = set[int](), [vars(index)], 0
    while todo:
        one: Any = todo.pop()
        if id(one) not in seen and isinstance(one, dict | set | tuple | str):
            seen.add(id(one))
            total += sys.getsizeof(one)
            todo += gc.get_referents(one)
    return total


def test_ten_thousand_nodes_that_came_and_went_leave_nothing() -> None:
    pods, holders = PodIndex(), GpuHolders()
    sizes = set()
    for number in range(10_000):
        agent, held = pod(f"node-{number}", agent=True), claim(f"GPU-{number}")
        pods.update(None, agent)
        holders.update(None, held)
        assert pods.requests(agent.node) == (100, 10)
        assert pods.agent_ready(agent.node)
        assert holders.claims(f"GPU-{number}") == {("n", "c")}
        pods.update(agent, None)
        holders.update(held, None)
        assert pods.agent_ready(agent.node) is None
        sizes.add((number > 9000, size(pods) + size(holders)))
    assert max(total for late, total in sizes if late) <= max(total for late, total in sizes if not late)
