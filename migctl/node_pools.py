"""Which node pool a node is in: one rule for decisions, admission and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from migctl.objects import GpuNode, NodePool


def has(pool: NodePool, labels: Mapping[str, str]) -> bool:
    """Whether the pool takes in the nodes that have its label, and these labels have it."""
    return bool(pool.spec.label_key) and labels.get(pool.spec.label_key) == pool.spec.label_value


def pool_of(named: str, labels: Mapping[str, str], pools: Iterable[NodePool]) -> str:
    """The first pool, by name, whose label a node has; else the one that its object names."""
    return min((pool.meta.name for pool in pools if has(pool, labels)), default=named)


def names(nodes: Iterable[GpuNode], pools: Iterable[NodePool]) -> set[str]:
    """Every pool there is: those that were made, and those that nodes name."""
    return {node.spec.pool for node in nodes} | {pool.meta.name for pool in pools}
