"""The Unix socket of `migctl up`: where it may lie, and how it is opened."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from migctl.backends.protocol import AlreadyExists, Invalid

MAX_PATH_BYTES = 107
"""Bytes of a socket's path (sun_path in unix(7), less the final null)."""


def check_path(path: Path) -> None:
    """Raises Invalid for a path that the kernel does not take."""
    length = len(os.fsencode(path))
    if length > MAX_PATH_BYTES:
        raise Invalid(
            f"the socket path {path} has {length} bytes; Unix sockets allow {MAX_PATH_BYTES}",
            hint="choose a shorter state directory, for example MIGCTL_HOME=/tmp/migctl",
        )


def listen(path: Path) -> socket.socket:
    """A bound socket that only its owner may open (0600); a dead server's socket is replaced.

    Raises Invalid (path too long, or another file lies there), AlreadyExists (a server listens
    there) and OSError.
    """
    check_path(path)
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise Invalid(f"{path} is a file, not a socket; it was left as it is", hint=f"move {path} away")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _answers(path):
            raise AlreadyExists(
                f"the socket {path} is in use: migctl is running already", hint="`migctl down` stops what runs there"
            )
        path.unlink(missing_ok=True)
        _bind(listener, path)
    except BaseException:
        listener.close()
        raise
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def _bind(listener: socket.socket, path: Path) -> None:
    """Bind so that no other user can connect at any time."""
    mask = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    finally:
        os.umask(mask)
