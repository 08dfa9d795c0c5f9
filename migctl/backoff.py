"""The back-off delay before a retry: exponential, with jitter."""

from __future__ import annotations

import zlib
from datetime import timedelta

INITIAL_DELAY = timedelta(seconds=1)
MAX_DELAY = timedelta(minutes=5)


def delay(failures: int, key: str) -> timedelta:
    """The delay after so many failures in a row (0: none).

    Half of it is jitter, drawn from the key and the count: the same arguments give the same delay.
    """
    if failures <= 0:
        return timedelta()
    full: timedelta = min(MAX_DELAY, INITIAL_DELAY * 2 ** min(failures - 1, 16))
    drawn = zlib.crc32(f"{key}/{failures}".encode()) / 2**32
    return full * (0.5 + drawn / 2)
