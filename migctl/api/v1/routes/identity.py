"""Who the caller is, and which clusters there are."""

from __future__ import annotations

from fastapi import APIRouter

from migctl.api.v1.routes.submission import NOT_FOUND
from migctl.api.v1.schemas.identity import Cluster, Me, RoleOut
from migctl.api.v1.service import Door
from migctl.backends.protocol import NotFound

routes = APIRouter(tags=["identity"])


@routes.get("/me")
async def me(door: Door) -> Me:
    """Who the caller is, with his roles."""
    caller = door.caller
    return Me(
        user=caller.user,
        through=caller.through,
        roles=[
            RoleOut(role=one.role, project=one.scope.project, department=one.scope.department) for one in caller.access
        ],
        expires_at=caller.expires,
    )


@routes.get("/clusters")
async def clusters(door: Door) -> list[Cluster]:
    """The one cluster that this API serves, as a list."""
    cluster = door.service.cluster
    return [Cluster(uuid=cluster.uid, name=cluster.name)]


@routes.get("/clusters/{cluster_uuid}", responses=NOT_FOUND)
async def get_cluster(door: Door, cluster_uuid: str) -> Cluster:
    """The one cluster, by its id or name."""
    cluster = door.service.cluster
    if cluster_uuid not in (cluster.uid, cluster.name):
        raise NotFound(f"there is no cluster {cluster_uuid[:64]!r}", hint="GET /api/v1/clusters")
    return Cluster(uuid=cluster.uid, name=cluster.name)
