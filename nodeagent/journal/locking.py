"""One agent per directory: a lock that the kernel releases when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from nodeagent.contract.allocation import AgentError


class HeldByAnother(AgentError):
    """Another agent uses the directory. The text says which process, and what to do."""


class AgentLock:
    """Held from its creation to `close`. The file stays, with the pid of its last holder.

    directory  what is locked
    file       the lock's name in it
    way_out    for people: what else to do than to stop the other one

    Raises HeldByAnother, OSError.
    """

    def __init__(self, directory: Path, file: str, way_out: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(directory / file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except BlockingIOError as e:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            who = f" (process {holder})" if holder else ""
            raise HeldByAnother(f"another node agent{who} works on {directory}: stop it first, or {way_out}") from e
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Let another agent use the directory."""
        os.close(self._descriptor)
