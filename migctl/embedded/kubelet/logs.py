"""Logs of workloads and of the daemon: their last lines, what is appended to them, and their size on the disk.

A log grows to MAX_BYTES; then its content moves to `<log>.1` and it begins anew, so that it takes at most twice that
and what is written between two looks. Programs write on unnoticed: they append to the same file. Whatever stands at
the path was within reach of the program that wrote it, so it is opened as others' files are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

from nodeagent import untrusted

CHUNK = 64 * 1024
POLL_S = 0.1
MAX_BYTES = 32 * 1024 * 1024
ROTATION_S = 5.0


def earlier(log: Path) -> Path:
    """Where the content of a log goes that has become too long."""
    return log.with_name(f"{log.name}.1")


@contextlib.contextmanager
def appending(log: Path) -> Iterator[int]:
    """A descriptor that appends to a log, made where it is missing; what is no file is replaced. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(log, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with untrusted.opened(log, None):
            pass
    except untrusted.Untrusted:
        log.unlink()
        os.close(os.open(log, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with untrusted.opened(log, None, os.O_WRONLY | os.O_APPEND) as descriptor:
        yield descriptor


def rotate(log: Path, max_bytes: int) -> None:
    """Begin a log anew that is longer than `max_bytes`. Raises OSError."""
    with contextlib.suppress(FileNotFoundError), untrusted.opened(log, None, os.O_RDWR) as descriptor:
        size = os.fstat(descriptor).st_size
        if size <= max_bytes:
            return
        draft = log.with_name(f".{log.name}.new")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        copy = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            offset = size - max_bytes
            while sent := os.sendfile(copy, descriptor, offset, size - offset):
                offset += sent
        finally:
            os.close(copy)
        draft.replace(earlier(log))
        os.ftruncate(descriptor, 0)


async def keep_bounded(runs: Path, others: Iterable[Path], max_bytes: int = MAX_BYTES) -> None:
    """Rotate the logs of all pods below `runs`, and `others`, until cancelled."""
    while True:
        await asyncio.to_thread(_rotate_all, runs, tuple(others), max_bytes)
        await asyncio.sleep(ROTATION_S)


def _rotate_all(runs: Path, others: Iterable[Path], max_bytes: int) -> None:
    for log in (*runs.glob("*/*/log"), *others):
        with contextlib.suppress(OSError):  # no file at all, or a full disk: there is nothing to be gained here
            rotate(log, max_bytes)


def last_lines(descriptor: int, count: int) -> tuple[int, int]:
    """Where the last `count` lines of a file begin, and how many of them it has."""
    end = position = os.fstat(descriptor).st_size
    found = 0 if count else -1
    while position > 0 and 0 <= found < count:
        step = min(CHUNK, position)
        block = os.pread(descriptor, step, position - step)
        # The newline at the very end closes the last line.
        at = len(block) - 1 if position == end and block.endswith(b"\n") else len(block)
        while found < count and (at := block.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found == count:
                return position - step + at + 1, count
        position -= step
    return (end, 0) if count == 0 else (0, found + (end > 0))


async def read(path: Path, tail: int | None, follow: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    """A log's bytes from its last `tail` lines on, and new ones for as long as follow() says so."""
    while not path.exists():
        if not follow():
            return
        await asyncio.sleep(POLL_S)
    with contextlib.ExitStack() as files:
        try:
            log = files.enter_context(untrusted.opened(path, None))
        except OSError as error:
            yield f"migctl: the log cannot be read: {error}\n".encode()
            return
        position = 0
        if tail is not None:
            position, found = await asyncio.to_thread(last_lines, log, tail)
            tail -= found
        if tail is None or (tail > 0 and position == 0):
            async for block in _before(earlier(path), tail):
                yield block
        while True:
            more = follow()
            if os.fstat(log).st_size < position:
                position = 0  # it has begun anew
            while block := await asyncio.to_thread(os.pread, log, CHUNK, position):
                position += len(block)
                yield block
            if not more:
                return
            await asyncio.sleep(POLL_S)


async def _before(path: Path, tail: int | None) -> AsyncIterator[bytes]:
    """The last `tail` lines of a rotated log; nothing where there is none."""
    with contextlib.suppress(OSError), untrusted.opened(path, MAX_BYTES) as log:
        position = 0 if tail is None else (await asyncio.to_thread(last_lines, log, tail))[0]
        while block := await asyncio.to_thread(os.pread, log, CHUNK, position):
            position += len(block)
            yield block
