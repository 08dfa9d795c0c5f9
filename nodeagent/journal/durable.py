"""Files that a crash or a full disk leaves whole: the old content or the new, never a part."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, data: bytes, mode: int = 0o600, *, lasting: bool = True) -> None:
    """Put `data` at `path` by rename, on the disk before this returns. Raises OSError.

    lasting  False: it survives this process but not a loss of power, and needs no wait for the disk
    """
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        write_all(descriptor, data)
        if lasting:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(draft, path)
    if lasting:
        sync_directory(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however often that takes. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(path: Path) -> None:
    """Make names in a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
