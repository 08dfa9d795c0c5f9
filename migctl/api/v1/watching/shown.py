"""A watched object as its own route shows it."""

from __future__ import annotations

from pydantic import BaseModel

from migctl.api.v1.decisions.shown import happening_out, plan_out
from migctl.api.v1.machines.rows import MachineRow
from migctl.api.v1.machines.shown import node_out
from migctl.api.v1.organization.queues import project_out
from migctl.api.v1.service import CallersService
from migctl.api.v1.watching.objects import NodeWithClaims, Watched, WatchedKind
from migctl.api.v1.workloads.details import pod_out, workload_out
from migctl.gpu_map.fleet import build
from migctl.objects import NodePool


def encoded(door: CallersService, watched: Watched) -> bytes:
    """The JSON that a caller gets."""
    return _out(door, watched).model_dump_json(by_alias=True).encode()


def _out(door: CallersService, watched: Watched) -> BaseModel:
    source = watched.source
    match watched.kind:
        case WatchedKind.WORKLOADS:
            return workload_out(door, source)
        case WatchedKind.CLAIMS:
            return pod_out(door, source.row, source.pod)
        case WatchedKind.NODES:
            return _node(door, source)
        case WatchedKind.PROJECTS:
            return project_out(door, source)
        case WatchedKind.EVENTS:
            return happening_out(door, source)
        case WatchedKind.PLANS:
            return plan_out(door, source)


def _node(door: CallersService, source: NodeWithClaims) -> BaseModel:
    node = source.node
    fleet = build((node,), source.claims, door.service.view.all(NodePool))
    return node_out(door, MachineRow(door.seen.shown(node), fleet.gpus, fleet.pool_of(node)), fleet)
