"""Nodes, node pools and GPUs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from migctl.api.v1.machines.pools import POOLS, changes_of, pool_of, pool_out, pools
from migctl.api.v1.machines.rows import GPUS, NODES, GpuRow, MachineRow, fleet_of, machines
from migctl.api.v1.machines.shown import gpu_out, node_out
from migctl.api.v1.organization.queues import check_cluster
from migctl.api.v1.routes.identity import get_cluster
from migctl.api.v1.routes.paging import Filtered, Listed
from migctl.api.v1.routes.submission import CONFLICT, NOT_FOUND
from migctl.api.v1.schemas.machines import (
    GpuOut,
    GpuPage,
    NodeChange,
    NodeOut,
    NodePage,
    NodePoolOut,
    NodePoolPage,
    NodePoolRequest,
    NodePoolSettings,
)
from migctl.api.v1.schemas.workloads import CountOut
from migctl.api.v1.service import CallersService, Door
from migctl.backends.merge import merged
from migctl.backends.protocol import NotFound
from migctl.gpu_map.fleet import Fleet
from migctl.objects import Meta, NodePool

routes = APIRouter(tags=["machines"], responses={**NOT_FOUND, **CONFLICT})

OF_CLUSTER = [Depends(get_cluster)]
"""404 for another cluster than the one there is."""


@routes.get("/nodes")
@routes.get("/clusters/{cluster_uuid}/nodes", operation_id="list_nodes_of_cluster", dependencies=OF_CLUSTER)
async def list_nodes(door: Door, query: Listed) -> NodePage:
    """Nodes with their GPUs, a page at a time."""
    fleet = await fleet_of(door)
    shown, following = query.page(NODES, machines(door, fleet))
    return NodePage(nodes=[node_out(door, row, fleet) for row in shown], next=following)


@routes.get("/nodes/count")
@routes.get("/clusters/{cluster_uuid}/nodes/count", operation_id="count_nodes_of_cluster", dependencies=OF_CLUSTER)
async def count_nodes(door: Door, query: Filtered) -> CountOut:
    """How many nodes there are."""
    return CountOut(count=query.count(NODES, machines(door, await fleet_of(door))))


@routes.get("/nodes/{node_id}")
async def get_node(door: Door, node_id: str) -> NodeOut:
    """A node, by its id or name."""
    fleet = await fleet_of(door)
    return node_out(door, _machine(door, fleet, node_id), fleet)


@routes.patch("/nodes/{node_id}")
async def change_node(door: Door, node_id: str, sent: NodeChange) -> NodeOut:
    """Cordon a node, put it into a pool, or wish another MIG mode of it."""
    row = _machine(door, await fleet_of(door), node_id)
    given: dict[str, Any] = {"cordoned": sent.cordoned, "dynamicMig": sent.dynamic_mig}
    changes = {name: value for name, value in given.items() if value is not None}
    if sent.node_pool is not None:
        changes["pool"] = pool_of(door, sent.node_pool).meta.name
    changed = await door.control.patch(row.node, {"spec": changes})
    fleet = await fleet_of(door)
    return node_out(door, _machine(door, fleet, changed.meta.name), fleet)


@routes.get("/node-pools")
async def list_node_pools(door: Door, query: Listed) -> NodePoolPage:
    """Node pools and their nodes, a page at a time."""
    shown, following = query.page(POOLS, pools(door))
    return NodePoolPage(nodepools=[pool_out(door, pool) for pool in shown], next=following)


@routes.get("/node-pools/count")
async def count_node_pools(door: Door, query: Filtered) -> CountOut:
    """How many node pools there are."""
    return CountOut(count=query.count(POOLS, pools(door)))


@routes.post("/node-pools", status_code=201)
async def create_node_pool(door: Door, sent: NodePoolRequest) -> NodePoolOut:
    """Create a node pool."""
    check_cluster(door, sent.cluster_id)
    wanted = merged(NodePool(meta=Meta(name=sent.name)), {"spec": changes_of(sent)})
    return pool_out(door, await door.control.create(wanted))


@routes.get("/node-pools/{node_pool_id}")
async def get_node_pool(door: Door, node_pool_id: str) -> NodePoolOut:
    """A node pool, by its id or name."""
    return pool_out(door, pool_of(door, node_pool_id))


@routes.patch("/node-pools/{node_pool_id}")
@routes.put("/node-pools/{node_pool_id}")
async def change_node_pool(door: Door, node_pool_id: str, sent: NodePoolSettings) -> NodePoolOut:
    """Change what is named of a node pool; one that nodes only name is made by that."""
    pool = pool_of(door, node_pool_id)
    changes = {"spec": changes_of(sent)}
    if pool.meta.uid:
        return pool_out(door, await door.control.patch(pool, changes))
    return pool_out(door, await door.control.create(merged(pool, changes)))


@routes.delete("/node-pools/{node_pool_id}", status_code=204)
async def delete_node_pool(door: Door, node_pool_id: str) -> None:
    """Delete a node pool that no node and no quota names."""
    await door.control.delete(pool_of(door, node_pool_id))


@routes.get("/gpus")
async def list_gpus(door: Door, query: Listed) -> GpuPage:
    """GPUs with their layout and who holds what of them, a page at a time."""
    fleet = await fleet_of(door)
    shown, following = query.page(GPUS, _gpus(machines(door, fleet)))
    return GpuPage(gpus=[gpu_out(door, row, fleet) for row in shown], next=following)


@routes.get("/gpus/{gpu_id}")
async def get_gpu(door: Door, gpu_id: str) -> GpuOut:
    """A GPU, by its UUID."""
    fleet = await fleet_of(door)
    for row in _gpus(machines(door, fleet)):
        if row.seen.gpu.uuid == gpu_id:
            return gpu_out(door, row, fleet)
    raise NotFound(f"there is no GPU {gpu_id[:64]!r}", hint="GET /api/v1/gpus lists them")


def _gpus(rows: list[MachineRow]) -> list[GpuRow]:
    return [GpuRow(row, seen) for row in rows for seen in row.gpus]


def _machine(door: CallersService, fleet: Fleet, key: str) -> MachineRow:
    """Raises NotFound."""
    for row in machines(door, fleet):
        if key in (row.node.meta.uid, row.node.meta.name):
            return row
    raise NotFound(f"there is no node {key[:64]!r}", hint="GET /api/v1/nodes lists them")
