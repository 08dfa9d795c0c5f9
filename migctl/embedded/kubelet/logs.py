"""Reading workload logs: the last lines of a file, and what is appended to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

CHUNK = 64 * 1024
POLL_S = 0.1


def last_lines(path: Path, count: int | None) -> int:
    """Offset where the last `count` lines of the file begin; 0 for all of it."""
    if count is None:
        return 0
    with path.open("rb") as file:
        end = position = file.seek(0, 2)
        found = 0
        while position > 0:
            step = min(CHUNK, position)
            position -= step
            file.seek(position)
            block = file.read(step)
            for i in range(len(block) - 1, -1, -1):
                if block[i] == ord("\n") and position + i != end - 1:
                    found += 1
                    if found == count:
                        return position + i + 1
    return 0 if count else end


async def read(path: Path, tail: int | None, follow: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The file's bytes from its last `tail` lines on, and new ones for as long as follow() says so."""
    while not path.exists():
        if not follow():
            return
        await asyncio.sleep(POLL_S)
    with path.open("rb") as file:
        file.seek(last_lines(path, tail))
        while True:
            more = follow()
            while block := file.read(CHUNK):
                yield block
            if not more:
                return
            await asyncio.sleep(POLL_S)
