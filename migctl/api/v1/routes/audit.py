"""What was done, by whom."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from fastapi import APIRouter, Query

from migctl.access.audit.trail import AuditEntry, AuditTrail
from migctl.access.caller import Place
from migctl.access.rights import AUDIT, Reach, Verb
from migctl.api.v1.schemas.access import AuditEntries, AuditEntryOut
from migctl.api.v1.service import CallersService, Door

routes = APIRouter(tags=["access"])

MOST_READ = 400_000
"""Lines that are read for one answer; all that the trail keeps are about as many."""


@routes.get("/audit")
async def audit(
    door: Door,
    since: datetime | None = None,
    user: str = "",
    project: str = "",
    limit: int = Query(default=100, ge=1, le=500),
) -> AuditEntries:
    """Writes and attempts to sign in, the newest first: those of the projects whose trail the caller may read."""
    if not door.rights.anywhere(Verb.READ, AUDIT):
        door.rights.require(Verb.READ, AUDIT, Place(project))
    if door.service.trail is None:
        return AuditEntries(entries=[])
    found = await asyncio.to_thread(_read, door, door.service.trail, since, user, project, limit)
    return AuditEntries(
        entries=[
            AuditEntryOut(**{name: getattr(entry, name) for name in msgspec.structs.asdict(entry)}) for entry in found
        ]
    )


def _read(
    door: CallersService, trail: AuditTrail, since: datetime | None, user: str, project: str, limit: int
) -> list[AuditEntry]:
    start = None if since is None else since if since.tzinfo else since.replace(tzinfo=UTC)

    def wanted() -> Iterator[AuditEntry]:
        for entry in itertools.islice(trail.newest_first(), MOST_READ):
            if start is not None and entry.time < start:
                return
            place = Place(entry.project, entry.department)
            if (
                (not user or entry.user == user)
                and (not project or entry.project == project)
                and door.rights.reach(Verb.READ, AUDIT, place) is not Reach.NOTHING
            ):
                yield entry

    return list(itertools.islice(wanted(), limit))
