"""How long to wait before something that failed is tried again: doubling, and not all at the same moment."""

from __future__ import annotations

import zlib
from datetime import timedelta

FIRST = timedelta(seconds=1)
LONGEST = timedelta(minutes=5)


def delay(failures: int, key: str) -> timedelta:
    """The wait after so many failures in a row (0: none).

    Half of it is jitter, drawn from the key and the count, so that asking again gives the same answer.
    """
    if failures <= 0:
        return timedelta()
    full: timedelta = min(LONGEST, FIRST * 2 ** min(failures - 1, 16))
    drawn = zlib.crc32(f"{key}/{failures}".encode()) / 2**32
    return full * (0.5 + drawn / 2)
