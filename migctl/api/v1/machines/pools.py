"""Node pools: those that were made, and those that nodes only name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from migctl import node_pools
from migctl.api.v1.filters import FilterFields
from migctl.api.v1.schemas.machines import NodePoolOut, NodePoolSettings, PlacementOut
from migctl.api.v1.service import CallersService
from migctl.backends.protocol import NotFound
from migctl.objects import GpuNode, Meta, NodePool
from solver.model.cluster import DEFAULT_POOL

POOLS: FilterFields[NodePool] = FilterFields(
    uid=lambda pool: pool.meta.uid or pool.meta.name,
    text=lambda pool: f"{pool.meta.name} {pool.meta.uid} {pool.spec.label_key}={pool.spec.label_value}".casefold(),
    texts={
        "name": lambda pool: pool.meta.name,
        "id": lambda pool: (pool.meta.uid or pool.meta.name).casefold(),
        "labelKey": lambda pool: pool.spec.label_key.casefold(),
        "labelValue": lambda pool: pool.spec.label_value.casefold(),
    },
    times={"createdAt": lambda pool: pool.meta.created},
)
"""What node pools can be filtered and sorted by."""


def pools(door: CallersService) -> list[NodePool]:
    """Every pool that the caller may see; one that was never made has no uid."""
    nodes, made = door.seen.all(GpuNode), door.seen.all(NodePool)
    names = node_pools.names(nodes, made)
    if nodes:
        names.add(DEFAULT_POOL)
    missing = names - {pool.meta.name for pool in made}
    return [*made, *(NodePool(meta=Meta(name=name)) for name in sorted(missing))]


def pool_of(door: CallersService, key: str) -> NodePool:
    """The pool of an id or a name. Raises NotFound."""
    for pool in pools(door):
        if key in (pool.meta.uid, pool.meta.name):
            return pool
    raise NotFound(f"there is no node pool {key[:64]!r}", hint="GET /api/v1/node-pools lists them")


def pool_out(door: CallersService, pool: NodePool) -> NodePoolOut:
    """A pool and its nodes."""
    made, name = door.seen.all(NodePool), pool.meta.name
    return NodePoolOut(
        id=pool.meta.uid or name,
        name=name,
        cluster_id=door.service.cluster.uid,
        is_default=name == DEFAULT_POOL,
        label_key=pool.spec.label_key,
        label_value=pool.spec.label_value,
        placement_strategy=PlacementOut(gpu=pool.spec.placement),
        memory_rule=pool.spec.memory_rule,
        nodes=sorted(_members(name, door.seen.all(GpuNode), made)),
        created_at=pool.meta.created,
    )


def changes_of(sent: NodePoolSettings) -> dict[str, Any]:
    """The fields of a pool's spec that were sent, as they travel."""
    placement = sent.placement_strategy.gpu if sent.placement_strategy is not None else None
    given = {
        "labelKey": sent.label_key,
        "labelValue": sent.label_value,
        "placement": placement,
        "memoryRule": sent.memory_rule,
    }
    return {name: value for name, value in given.items() if value is not None}


def _members(name: str, nodes: Iterable[GpuNode], made: Iterable[NodePool]) -> Iterable[str]:
    known = tuple(made)
    return (node.meta.name for node in nodes if node_pools.pool_of(node.spec.pool, node.meta.labels, known) == name)
