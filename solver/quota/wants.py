"""Pending requests that count alike in the fair share: of one project, demand, priority and choice of pools."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from solver.model.demand import Request
from solver.model.snapshot import Snapshot


class Want(NamedTuple):
    """So many (`number`) requests of `gpus` GPUs each; first: the oldest of them."""

    first: Request
    gpus: float
    number: int


class WantPart(NamedTuple):
    """Where so many requests of a want count. wanted: False for those that may not start whatever is free."""

    pool: str
    number: int
    wanted: bool


def want_key(request: Request) -> Hashable:
    """Equal for requests of one want."""
    return request.project, request.demand, request.priority, request.preemptible, request.pools


def backing_off(request: Request, snapshot: Snapshot) -> bool:
    """Whether it may not start yet, since its last starts failed: it is no want."""
    return request.backing_off_until is not None and snapshot.now < request.backing_off_until
