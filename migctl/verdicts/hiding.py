"""Reasons without what names the work of projects that their reader may not see."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from migctl.access.texts import ANOTHERS
from solver.model.reasons import (
    BlockingClaim,
    NeededGpu,
    ProjectUnknown,
    QueueFigures,
    RoomHeld,
    RoomReserved,
    Unplaced,
)
from solver.model.snapshot import Snapshot

Sees = Callable[[str], bool]
"""Whether the reader may see what is in the project of this name."""
HOLDERS = (RoomHeld, RoomReserved, NeededGpu)
"""Facts that name holders."""


def everything(project: str) -> bool:
    """The reader may see all projects."""
    return True


def shown(reason: Unplaced, state: Snapshot, sees: Sees) -> Unplaced:
    """The reason as the reader may see it; uids of claims that he may not see are ""."""
    if sees is everything:
        return reason
    figures = tuple(queue for queue in reason.figures if _sees_queue(queue, state, sees))
    blockers = reason.blockers
    if blockers is not None:
        projects = {holding.request.claim: holding.request.project for holding in state.held}
        known = (claim if sees(projects.get(claim, "")) else "" for claim in blockers.claims)
        blockers = dataclasses.replace(blockers, claims=tuple(known))
    return dataclasses.replace(reason, facts=_hidden(reason.facts, sees), figures=figures, blockers=blockers)


def _sees_queue(queue: QueueFigures, state: Snapshot, sees: Sees) -> bool:
    """A department is seen with any of its projects."""
    if queue.kind == "project":
        return sees(queue.name)
    return any(sees(project.name) for project in state.projects if project.department == queue.name)


def _hidden(value: Any, sees: Sees) -> Any:
    if isinstance(value, BlockingClaim):
        if sees(value.project):
            return value
        return dataclasses.replace(value, claim="", name=ANOTHERS, project="", demand=None, profile=None, protection="")
    if isinstance(value, ProjectUnknown):
        return dataclasses.replace(value, known=tuple(filter(sees, value.known)))
    if isinstance(value, tuple):
        return tuple(_hidden(part, sees) for part in value)
    if isinstance(value, HOLDERS):
        fields = dataclasses.fields(value)
        return dataclasses.replace(value, **{f.name: _hidden(getattr(value, f.name), sees) for f in fields})
    return value
