"""Keeps the histories short: the newest plans and events stay."""

from __future__ import annotations

import asyncio

from migctl.backends.protocol import ControlPlane, NotFound
from migctl.objects import Event, Plan, T

EVERY_S = 60.0
PLANS = 200
EVENTS = 1000


async def run(control_plane: ControlPlane) -> None:
    """Trim now and then, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        await trim(control_plane, Plan, PLANS)
        await trim(control_plane, Event, EVENTS)


async def trim(control_plane: ControlPlane, kind: type[T], keep: int) -> None:
    """Delete the oldest objects of a kind beyond `keep`."""
    listing = await control_plane.list(kind)
    oldest_first = sorted(listing.items, key=lambda obj: int(obj.meta.version))
    for obj in oldest_first[:-keep]:
        try:
            await control_plane.delete(obj)
        except NotFound:
            continue
