"""Node pools as what is divided among queues: how many GPUs each has, and in what grain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from solver.model.cluster import Gpu, InstanceState, Node
from solver.model.demand import Holding, Request
from solver.model.occupation import foreign_portion
from solver.model.snapshot import Snapshot

NOT_OURS = (InstanceState.FOREIGN, InstanceState.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Pool:
    """GPUs to divide; grain: one GPU, or one compute slice in a pool with a GPU in MIG mode."""

    name: str
    gpus: float = 0.0
    grain: float = 1.0


@dataclass(slots=True)
class PoolCount:
    """What a pool is made of, in GPUs.

    usable  GPUs that can serve requests
    others  the part of them that instances and processes of others take
    held    what claims hold on GPUs that can serve no more: it counts as theirs, so it counts as the pool's
    slices  compute slices of its GPUs in MIG mode
    """

    usable: float = 0.0
    others: float = 0.0
    held: float = 0.0
    slices: set[int] = field(default_factory=set)


def pools_of(counts: Mapping[str, PoolCount]) -> dict[str, Pool]:
    """Every pool by name, in the order of names."""
    return {
        name: Pool(name, max(0.0, count.usable - count.others) + count.held, 1 / max(count.slices, default=1))
        for name, count in sorted(counts.items())
    }


def pools(snapshot: Snapshot) -> dict[str, Pool]:
    """Every pool that a node is in, by name."""
    nodes = {node.name: node for node in snapshot.nodes}
    counts = {node.pool: PoolCount() for node in snapshot.nodes}
    unusable: dict[str, str] = {}
    for gpu in snapshot.gpus:
        node = nodes.get(gpu.node)
        if node is None:
            continue
        if usable(gpu, node, snapshot):
            counts[node.pool].usable += 1.0
            counts[node.pool].others += _others(gpu, snapshot)
            if gpu.mig:
                counts[node.pool].slices.add(snapshot.models[gpu.model].slices)
        else:
            unusable[gpu.uuid] = node.pool
    for pool, gpus in held_on(unusable, snapshot.held).items():
        counts[pool].held += gpus
    return pools_of(counts)


def usable(gpu: Gpu, node: Node, snapshot: Snapshot) -> bool:
    """Whether requests can be placed on the GPU at all."""
    return node.ready and not gpu.fenced and (not gpu.mig or gpu.model in snapshot.models)


def held_on(pool_of: Mapping[str, str], holdings: Iterable[Holding]) -> dict[str, float]:
    """GPUs that are held on these GPUs (UUID to pool), by pool."""
    held: defaultdict[str, float] = defaultdict(float)
    if pool_of:
        for holding in holdings:
            for share in holding.grant.devices:
                if share.gpu in pool_of:
                    held[pool_of[share.gpu]] += share.portion
    return held


def allows(node: Node, request: Request) -> bool:
    """Whether pools, selector and exclusions let the request run on the node."""
    return (
        node.name not in request.excluded
        and (not request.pools or node.pool in request.pools)
        and all(node.labels.get(key) == value for key, value in request.node_selector.items())
    )


def _others(gpu: Gpu, snapshot: Snapshot) -> float:
    """The part of a GPU that instances or processes of others take."""
    if not gpu.mig:
        return foreign_portion(gpu)
    if not any(instance.state in NOT_OURS for instance in gpu.instances):
        return 0.0
    model = snapshot.models.get(gpu.model)
    if model is None or not model.slices:
        return 0.0
    return (
        sum(p.slices for i in gpu.instances if i.state in NOT_OURS and (p := model.profile(i.profile))) / model.slices
    )
