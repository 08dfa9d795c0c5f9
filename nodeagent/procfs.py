"""What the kernel says of this machine and its processes below /proc. See proc(5)."""

from __future__ import annotations

import os
from pathlib import Path

from nodeagent import untrusted

_MAX_ENVIRONMENT = 8 * 1024 * 1024  # the kernel takes 6 MiB; a process can have it read from anywhere later
_STATE, _PARENT, _START = 0, 1, 19  # positions in /proc/PID/stat after the command's name


def boot_id() -> str:
    """The running boot's name: another one after every reboot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def pids() -> list[int]:
    """Every process of this host, or of the pid namespace that this one runs in."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment that a process was started with; None where it has none. Raises OSError."""
    prefix = f"{name}=".encode()
    descriptor = os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = untrusted.read_some(descriptor, _MAX_ENVIRONMENT)
    finally:
        os.close(descriptor)
    for line in content.split(b"\0"):
        if line.startswith(prefix):
            return line[len(prefix) :].decode(errors="replace")
    return None


def parent(pid: int) -> int:
    """The pid of a process's parent. Raises OSError."""
    return int(_stat(pid)[_PARENT])


def start_time(pid: int) -> int | None:
    """When a live process began, in clock ticks since boot; None where there is none, or a zombie."""
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[_STATE] in (b"Z", b"X") else int(fields[_START])


def _stat(pid: int) -> list[bytes]:
    """The fields after the command's name, which may hold anything."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].split()
