"""The memory in which a workload's processes keep their accounts: made, read and corrected from outside.

The layout is that of src/region/layout.h. A slot belongs to the process that holds an open-file-description lock on
the byte of its number; what stands in a slot without its lock is left over and counts for nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from nodeagent import untrusted
from nodeagent.shim.limits import MAX_GPUS, Limits

MAGIC = b"migctlR1"
SLOTS = 256

_HEADER = struct.Struct("=8sIIII")  # magic, size, lock, high, unused
_GPU = struct.Struct("=16sQII")  # uuid, context, time slice, unused
_SLOT = struct.Struct("=QQQQ")  # token, pid, pid namespace, start time
_ACCOUNT = struct.Struct("=QQ")  # bytes, contexts

_SLOTS_AT = _HEADER.size + MAX_GPUS * _GPU.size
_SLOT_SIZE = _SLOT.size + MAX_GPUS * _ACCOUNT.size
SIZE = _SLOTS_AT + SLOTS * _SLOT_SIZE

_FLOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What a process holds on a GPU: bytes that it allocated, and how many contexts."""

    memory: int
    contexts: int


@dataclass(frozen=True, slots=True)
class Holder:
    """A live process of the workload.

    pid, pid_namespace  as it knows itself; the namespace is the inode of /proc/PID/ns/pid
    gpus                by GPU UUID, those where it holds something
    """

    pid: int
    pid_namespace: int
    gpus: Mapping[str, ProcessUsage]


def ensure(path: Path, limits: Limits, mode: int = 0o600) -> None:
    """Make the region for these limits, unless it is there already: its processes may be running.

    Its pages are allocated now, so that a full disk fails here (OSError) and not inside a workload.
    """
    if _is_for(path, limits):
        return
    # Not beside it, and under no name that could be foreseen: the workload may write there.
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent.parent)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        os.posix_fallocate(file.fileno(), 0, SIZE)
        file.write(_HEADER.pack(MAGIC, SIZE, 0, 0, 0))
        for gpu in limits.gpus:
            file.write(_GPU.pack(_uuid_bytes(gpu.uuid), 0, 0, 0))
    os.replace(draft, path)


def holders(path: Path) -> tuple[Holder, ...]:
    """The live processes of a region. OSError: cannot be read; ValueError: not a region."""
    with untrusted.opened(path, SIZE) as fd:
        content = _content(untrusted.read_some(fd, SIZE + 1))
        slots = [_holder(content, slot) for slot in range(SLOTS) if _is_held(fd, slot)]
    return tuple(holder for holder in slots if holder is not None)


def set_context(path: Path, uuid: str, size: int) -> None:
    """Correct what one context takes on a GPU, in bytes, for all at once; 0: as the limits file says."""
    _set_word(path, uuid, offset=16, word=struct.pack("=Q", size))


def set_turn(path: Path, uuid: str, start: int, length: int) -> None:
    """Set when launches of gated processes pass on a GPU, in thousandths of the period; length 0: at any time."""
    _set_word(path, uuid, offset=24, word=struct.pack("=I", start << 16 | length))


def _set_word(path: Path, uuid: str, offset: int, word: bytes) -> None:
    with untrusted.opened(path, SIZE, os.O_RDWR) as fd:
        index = _uuids(_content(os.pread(fd, SIZE + 1, 0))).index(uuid)
        os.pwrite(fd, word, _HEADER.size + index * _GPU.size + offset)


def bound(path: Path) -> None:
    """Give back what a workload wrote beyond its region or beside it. Raises OSError."""
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name == path.name:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
    with untrusted.opened(path, None, os.O_RDWR) as fd:
        if os.fstat(fd).st_size > SIZE:
            os.ftruncate(fd, SIZE)


def _content(content: bytes) -> bytes:
    if len(content) != SIZE or content[:8] != MAGIC:
        raise ValueError("not a region of accounts, or of another version")
    return content


def _is_for(path: Path, limits: Limits) -> bool:
    try:
        uuids = _uuids(_content(untrusted.read(path, SIZE)))
    except (FileNotFoundError, untrusted.Untrusted, ValueError):
        return False
    return uuids[: len(limits.gpus)] == [gpu.uuid for gpu in limits.gpus]


def _uuids(content: bytes) -> list[str]:
    rows = (_GPU.unpack_from(content, _HEADER.size + row * _GPU.size) for row in range(MAX_GPUS))
    return [f"GPU-{UUID(bytes=uuid)}" for uuid, *_ in rows]


def _uuid_bytes(uuid: str) -> bytes:
    return UUID(uuid.removeprefix("GPU-")).bytes


def _is_held(fd: int, slot: int) -> bool:
    query = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, slot, 1, 0)
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, query)
    held: bool = _FLOCK.unpack(answer)[0] != fcntl.F_UNLCK
    return held


def _holder(content: bytes, slot: int) -> Holder | None:
    at = _SLOTS_AT + slot * _SLOT_SIZE
    token, pid, namespace, _ = _SLOT.unpack_from(content, at)
    accounts = {
        uuid: ProcessUsage(*_ACCOUNT.unpack_from(content, at + _SLOT.size + row * _ACCOUNT.size))
        for row, uuid in enumerate(_uuids(content))
    }
    gpus = {uuid: account for uuid, account in accounts.items() if account.memory or account.contexts}
    return Holder(pid, namespace, gpus) if token else None
