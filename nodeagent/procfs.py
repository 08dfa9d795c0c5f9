"""What the kernel says of this machine and its processes below /proc. See proc(5)."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nodeagent import untrusted

_MAX_ENVIRONMENT = 8 * 1024 * 1024  # the kernel takes 6 MiB; a process can have it read from anywhere later
_MAX_MAPS = 16 * 1024 * 1024
_MAX_TEXT = 64 * 1024
_STATE, _PARENT, _GROUP, _SESSION, _START = 0, 1, 2, 3, 19  # positions in /proc/PID/stat after the command's name


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """A process at one moment. `start`: clock ticks since boot; with its pid, that is who it is."""

    parent: int
    group: int
    session: int
    start: int
    is_zombie: bool


def boot_id() -> str:
    """The running boot's name: another one after every reboot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def nvidia_driver() -> str:
    """What the loaded NVIDIA driver says of its version; "" where none is loaded."""
    try:
        return untrusted.read(Path("/proc/driver/nvidia/version"), _MAX_TEXT).decode(errors="replace")
    except OSError:
        return ""


def pids() -> list[int]:
    """Every process of this host, or of the pid namespace that this one runs in."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def stat(pid: int) -> ProcessStat | None:
    """None where there is no such process."""
    try:
        fields = _stat(pid)
    except OSError:
        return None
    return ProcessStat(
        int(fields[_PARENT]),
        int(fields[_GROUP]),
        int(fields[_SESSION]),
        int(fields[_START]),
        fields[_STATE] in (b"Z", b"X"),
    )


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment that a process was started with; None where it has none. Raises OSError.

    A process may write over it, and one within exec has none for a moment.
    """
    prefix = f"{name}=".encode()
    for line in _read(pid, "environ", _MAX_ENVIRONMENT).split(b"\0"):
        if line.startswith(prefix):
            return line[len(prefix) :].decode(errors="replace")
    return None


def cgroups(pid: int) -> str:
    """The process's cgroups, one line per hierarchy, as the kernel shows them; "" where they cannot be read."""
    try:
        return _read(pid, "cgroup", _MAX_TEXT).decode(errors="replace")
    except OSError:
        return ""


def mapped(pid: int, inodes: Collection[tuple[int, int]]) -> tuple[int, int] | None:
    """Which of these files, by device and inode, a process has mapped into its memory; None: none, or unreadable."""
    try:
        text = _read(pid, "maps", _MAX_MAPS)
    except OSError:
        return None
    for line in text.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or fields[4] == b"0":
            continue
        major, _, minor = fields[3].partition(b":")
        found = os.makedev(int(major, 16), int(minor, 16)), int(fields[4])
        if found in inodes:
            return found
    return None


def parent(pid: int) -> int:
    """The pid of a process's parent. Raises OSError."""
    return int(_stat(pid)[_PARENT])


def start_time(pid: int) -> int | None:
    """When a live process began, in clock ticks since boot; None where there is none, or a zombie."""
    found = stat(pid)
    return None if found is None or found.is_zombie else found.start


def _stat(pid: int) -> list[bytes]:
    """The fields after the command's name, which may hold anything."""
    content = Path(f"/proc/{pid}/stat").read_bytes()
    return content[content.rindex(b")") + 2 :].split()


def _read(pid: int, name: str, limit: int) -> bytes:
    descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return untrusted.read_some(descriptor, limit)
    finally:
        os.close(descriptor)
