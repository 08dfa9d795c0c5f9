"""The files of the audit trail: JSON lines, the newest file first, bounded in size and number.

It never holds a secret: bodies are not in it. A disk that is full stops nothing; how much was lost is told in the log,
and in the trail itself as soon as it can be written again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from migctl.clock import Clock

log = structlog.get_logger()

MAX_BYTES = 16 * 2**20
MAX_FILES = 8
LONGEST_TEXT = 512
"""Characters of a text that somebody else chose."""
CHUNK = 64 * 1024


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One write, or one attempt to sign in.

    user, through, origin        who, how he signed in, and from where
    verb, kind                   what he did to which kind ("create", "workloads"; "login", "session")
    project, department          where it is; both "": in none
    name, uid                    of the object
    status                       the HTTP status that he was answered
    message                      why it was refused
    request                      the id of the request, as in the answer's header X-Request-ID
    """

    time: datetime
    user: str
    verb: str
    kind: str
    status: int
    through: str = ""
    origin: str = ""
    project: str = ""
    department: str = ""
    name: str = ""
    uid: str = ""
    message: str = ""
    request: str = ""


class AuditTrail:
    """The trail in one folder, 0700. The newest entries are in audit.jsonl."""

    def __init__(self, folder: Path, clock: Clock, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
        self._folder = folder
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._file: int | None = None
        self._broken_line = True
        self.lost = 0
        """Entries that could not be written since the last one that could."""

    def now(self) -> datetime:
        """The time of an entry made now."""
        return self._clock()

    def record(self, entry: AuditEntry) -> None:
        """Write an entry. Raises nothing: what cannot be written is counted and told."""
        try:
            self._tell_lost()
            self._write(_bounded(entry))
        except OSError as error:
            self.lost += 1
            self._close()
            if self.lost & (self.lost - 1) == 0:  # told at 1, 2, 4, 8
                log.error(
                    "the audit trail cannot be written", folder=str(self._folder), lost=self.lost, error=str(error)
                )

    def newest_first(self) -> Iterator[AuditEntry]:
        """All entries. Lines that are none (a full disk cut them) are passed over."""
        for number in range(self._max_files):
            for line in _lines_backwards(self._path(number)):
                try:
                    yield msgspec.json.decode(line, type=AuditEntry)
                except msgspec.DecodeError:
                    continue

    def _tell_lost(self) -> None:
        if self.lost:
            self._write(
                AuditEntry(
                    time=self._clock(),
                    user="",
                    verb="lost",
                    kind="audit",
                    status=507,
                    message=f"{self.lost} entries could not be written",
                )
            )
            self.lost = 0

    def _write(self, entry: AuditEntry) -> None:
        line = msgspec.json.encode(entry) + b"\n"
        file = self._opened(len(line))
        if self._broken_line:
            line = b"\n" + line  # what came before may be cut in the middle
        self._broken_line = os.write(file, line) != len(line)
        if self._broken_line:
            raise OSError("the line was cut: is the disk full?")

    def _opened(self, more: int) -> int:
        """The file to write to; a full one is set aside first."""
        if self._file is not None and os.fstat(self._file).st_size + more > self._max_bytes:
            self._close()
            for number in reversed(range(self._max_files - 1)):
                if self._path(number).exists():
                    self._path(number).replace(self._path(number + 1))
        if self._file is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path(0), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._broken_line = os.fstat(self._file).st_size > 0
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _path(self, number: int) -> Path:
        return self._folder / ("audit.jsonl" if number == 0 else f"audit.{number}.jsonl")


def _bounded(entry: AuditEntry) -> AuditEntry:
    return msgspec.structs.replace(
        entry,
        **{
            field: value[:LONGEST_TEXT]
            for field in entry.__struct_fields__
            if isinstance(value := getattr(entry, field), str)
        },
    )


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, last one first; none where there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        position, rest = file.seek(0, os.SEEK_END), b""
        while position:
            size = min(CHUNK, position)
            position -= size
            file.seek(position)
            first, *lines = (file.read(size) + rest).split(b"\n")
            rest = first
            yield from reversed(lines)
        yield rest
