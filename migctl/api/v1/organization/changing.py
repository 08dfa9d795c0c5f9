"""Creating and changing projects and departments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from migctl.api.v1.organization.queues import Queue, check_cluster, department_name, pools_of
from migctl.api.v1.organization.quotas import changes_of
from migctl.api.v1.schemas.organization import (
    DepartmentRequest,
    ProjectChange,
    ProjectRequest,
    QueueSettings,
    Resources,
)
from migctl.api.v1.service import CallersService
from migctl.backends.merge import merged
from migctl.backends.protocol import AlreadyExists, Forbidden, NotFound
from migctl.objects import Department, Meta, Project

AGAIN = timedelta(minutes=5)
"""How long a second creation of the same is the first one, sent again after a lost answer."""


async def create(door: CallersService, kind: type[Queue], sent: ProjectRequest | DepartmentRequest) -> Queue:
    """The queue that was made, or was made of the same request a moment ago. Raises what admission and rights raise."""
    check_cluster(door, sent.cluster_id)
    empty = kind(meta=Meta(name=sent.name))
    changes = changes_of(sent.resources or (), empty, pools_of(door), partly=False)
    if isinstance(sent, ProjectRequest):
        changes["department"] = department_name(door, sent.parent_id)
    wanted = merged(empty, {"spec": changes})
    try:
        return await door.control.create(wanted)
    except AlreadyExists:
        if (stored := await _stored(door, wanted)) is not None:
            return stored
        raise


async def change(door: CallersService, queue: Queue, sent: QueueSettings, *, partly: bool) -> Queue:
    """The queue as changed. partly: what is left out stays as it is."""
    changes: dict[str, Any] = {}
    if isinstance(sent, ProjectChange) and "parent_id" in sent.model_fields_set:
        changes["department"] = department_name(door, sent.parent_id)
    if sent.resources is not None:
        changes |= changes_of(sent.resources, queue, pools_of(door), partly=partly)
    return await door.control.patch(queue, {"spec": changes})


async def change_resources(door: CallersService, queue: Queue, sent: Resources, *, partly: bool) -> Queue:
    """The queue with other quotas. partly: what is left out stays as it is."""
    changes = changes_of(sent, queue, pools_of(door), partly=partly)
    return await door.control.patch(queue, {"spec": changes})


async def _stored(door: CallersService, wanted: Queue) -> Queue | None:
    """What was made of the same request a moment ago."""
    kind: type[Any] = Project if isinstance(wanted, Project) else Department
    try:
        stored = await door.control.get(kind, wanted.meta.name)
    except (NotFound, Forbidden):
        return None
    created = stored.meta.created
    fresh = created is not None and door.service.clock() - created < AGAIN
    return stored if fresh and stored.spec == wanted.spec and stored.meta.deleting is None else None
