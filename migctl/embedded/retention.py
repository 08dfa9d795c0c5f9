"""Keeps the newest objects of a kind that only tell what happened: events, plans."""

from __future__ import annotations

from migctl.backends.protocol import ChangeType, ControlPlane, Expired, NotFound
from migctl.objects import T


async def keep_newest(control_plane: ControlPlane, kind: type[T], most: int) -> None:
    """Delete the oldest objects of the kind as soon as there are more than `most`, until cancelled."""
    while True:
        listing = await control_plane.list(kind)
        kept = {obj.meta.uid: obj for obj in sorted(listing.items, key=lambda obj: int(obj.meta.version))}
        await _trim(control_plane, kept, most)
        try:
            async for change in control_plane.watch(kind, listing.version):
                if change.type is ChangeType.ADDED:
                    kept[change.object.meta.uid] = change.object
                    await _trim(control_plane, kept, most)
                elif change.type is ChangeType.DELETED:
                    kept.pop(change.object.meta.uid, None)
        except Expired:
            continue


async def _trim(control_plane: ControlPlane, kept: dict[str, T], most: int) -> None:
    """`kept` is in order of age, oldest first."""
    while len(kept) > most:
        oldest = kept.pop(next(iter(kept)))
        try:
            await control_plane.delete(oldest)
        except NotFound:
            continue
