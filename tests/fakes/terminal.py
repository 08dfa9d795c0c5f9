"""A terminal of a given width that stdout is while the context is open."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def terminal(columns: int) -> Iterator[list[str]]:
    """What was written is in the list afterwards, as one text."""
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    pieces: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # the other end is closed
            while piece := os.read(reading, 4096):
                pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    written: list[str] = []
    try:
        with os.fdopen(writing, "w") as stdout, redirect_stdout(stdout):
            yield written
    finally:
        reader.join()
        os.close(reading)
        written.append(b"".join(pieces).decode().replace("\r\n", "\n"))
