"""The injected clock: whatever needs the time of day takes a Clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The time of day, in UTC."""
    return datetime.now(UTC)
