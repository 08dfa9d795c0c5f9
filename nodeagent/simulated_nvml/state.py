"""The simulated machine's state: one JSON file, changed under a lock and replaced by rename.

A reader never locks: it sees one whole version. A version is kept in memory as long as the file
is still the same inode, which stays pinned by an open descriptor, so that the check is exact.
It imports little: a simulated CUDA program imports it at its start.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from nodeagent import procfs

State = dict[str, Any]

FORMAT = 1


class DamagedState(Exception):
    """The file is not a simulated machine. The text says what to do."""


@cache
def host_boot_id() -> str:
    """The host's boot: simulated instances do not survive a reboot of the host either."""
    return procfs.boot_id()


class StateFile:
    """The state at `path`. Safe for any number of processes and threads."""

    def __init__(self, path: Path, *, boot: Callable[[], str] = host_boot_id) -> None:
        self._pinned: int | None = None
        self.path = path
        self._boot = boot
        self._lock = threading.Lock()
        self._version: State = {}

    def read(self) -> State:
        """The current version. Shared by all readers: never change it."""
        with self._lock:
            if not self._is_current():
                self._load()
            version = self._version
        if version["host_boot_id"] != self._boot():
            with self.change():
                pass
            return self.read()
        return version

    @contextmanager
    def change(self) -> Iterator[State]:
        """A copy to change; it becomes the current version unless the block raises. Raises DamagedState."""
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = _parse(self.path, self.path.read_bytes())
            if state["host_boot_id"] != self._boot():
                reboot(state, self._boot())
            yield state
            write(self.path, state)
        finally:
            os.close(lock)

    def _is_current(self) -> bool:
        if self._pinned is None:
            return False
        try:
            there, here = os.stat(self.path), os.fstat(self._pinned)
        except FileNotFoundError:
            return False
        return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)

    def _load(self) -> None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as e:
            raise DamagedState(f"no simulated GPUs at {self.path}: start again with --simulate") from e
        data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        if self._pinned is not None:
            os.close(self._pinned)
        self._pinned = descriptor
        self._version = _parse(self.path, data)

    def close(self) -> None:
        with self._lock:
            if self._pinned is not None:
                os.close(self._pinned)
            self._pinned = None

    def __del__(self) -> None:
        if self._pinned is not None:
            os.close(self._pinned)


def write(path: Path, state: State) -> None:
    """Make `state` the current version at `path`."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    draft.write_text(json.dumps(state), encoding="utf-8")
    draft.chmod(0o666 & ~_umask())
    draft.replace(path)


def reboot(state: State, host_boot_id: str) -> None:
    """Instances and processes end; a pending MIG mode takes effect; a volatile MIG mode is off."""
    state["host_boot_id"] = host_boot_id
    state["boots"] += 1
    for gpu in state["gpus"]:
        gpu.update(instances=[], processes=[], events=[], mig=gpu["mig_pending"] and gpu["mig_survives_reboot"])
        gpu["mig_pending"] = gpu["mig"]


def _umask() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("Umask:")[1].split()[0], 8)


def _parse(path: Path, data: bytes) -> State:
    try:
        state = json.loads(data)
        known = state["format"] == FORMAT
    except (ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise DamagedState(f"{path} does not hold simulated GPUs: remove it and start again with --simulate")
    result: State = state
    return result
