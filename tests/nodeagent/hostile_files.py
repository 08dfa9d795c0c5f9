"""What another user or a container may put where a small file should be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

HUGE = 40 << 30


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(HUGE)


def _link(path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(b"secret")
    path.symlink_to(secret)


def _second_name(path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(b"secret")
    os.link(secret, path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


ATTACKS: dict[str, Callable[[Path], None]] = {
    "fifo": _fifo,
    "sparse": _sparse,
    "link": _link,
    "second-name": _second_name,
    "link-to-device": _endless,
    "folder": _folder,
}
"""Each makes something at a path that is free."""


def replace(path: Path, attack: str) -> None:
    """Remove a file and put something hostile in its place."""
    path.unlink(missing_ok=True)
    ATTACKS[attack](path)
