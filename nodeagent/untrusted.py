"""Opens what others can write: another user, or a workload's container. docs/security.md lists it all.

Nothing here follows a link, waits for anybody, or reads more than its caller allows: a FIFO, a device, a link or a
sparse file where a small file should be ends in Untrusted.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 64 * 1024


class Untrusted(OSError):
    """A file or folder is not what it has to be. The text is for people."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))

    def __str__(self) -> str:
        return f"{self.filename} {self.strerror}"


@contextmanager
def opened(path: Path, limit: int | None, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A descriptor of a regular file with one name and at most `limit` bytes (None: any size).

    Raises Untrusted where it is something else, OSError where it cannot be opened.
    """
    # Looked at before it is opened: opening a FIFO waits, and opening a device may do anything.
    place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check(path, os.fstat(place), limit)
        descriptor = os.open(f"/proc/self/fd/{place}", flags | os.O_CLOEXEC | os.O_NOCTTY)
    finally:
        os.close(place)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read(path: Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes. Raises as `opened`."""
    with opened(path, limit) as descriptor:
        content = read_some(descriptor, limit + 1)
    if len(content) > limit:
        raise Untrusted(path, f"has more than {limit} bytes")
    return content


def read_some(descriptor: int, limit: int) -> bytes:
    """At most `limit` bytes from where a descriptor stands. Raises OSError."""
    content = bytearray()
    while len(content) < limit and (block := os.read(descriptor, min(_CHUNK, limit - len(content)))):
        content += block
    return bytes(content)


def private_folder(path: Path) -> Path:
    """Make a folder, unless it is there, that nobody but this user and root can have made or can put anything into.

    Raises Untrusted where others can: the folder is not this user's, or a folder above it is open to others.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.lstat(path)
    if not stat.S_ISDIR(folder.st_mode):
        raise Untrusted(path, "is no folder of its own but a link or a file")
    if folder.st_uid != os.geteuid():
        raise Untrusted(path, f"belongs to user {folder.st_uid}, not to you")
    if folder.st_mode & 0o022:
        raise Untrusted(path, f"can be written by others: chmod 700 {path}")
    for above in path.resolve().parents:
        _check_above(above, above.stat())
    return path


def _check(path: Path, file: os.stat_result, limit: int | None) -> None:
    if not stat.S_ISREG(file.st_mode):
        raise Untrusted(path, "is a link, a FIFO, a device or a folder, where a file is expected")
    if file.st_nlink > 1:
        raise Untrusted(path, "is a file with a second name elsewhere")
    if limit is not None and file.st_size > limit:
        raise Untrusted(path, f"has {file.st_size} bytes, more than {limit}")


def _check_above(folder: Path, found: os.stat_result) -> None:
    """Others can replace what is in a folder of theirs, or in one that they can write and that is not sticky."""
    if found.st_uid not in (0, os.geteuid()):
        raise Untrusted(folder, f"belongs to user {found.st_uid}, who could replace what is in it")
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise Untrusted(folder, "can be written by others, who could replace what is in it")
