"""The journal of a GPU: append-only, each entry on the disk before anything is done.

An incomplete last line was written by a call that never returned, and is dropped. A damaged line anywhere else
means that the GPU's history is unknown: DamagedJournal, and the GPU is fenced. A long journal is replaced by the
shortest one that folds to the same record.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from nodeagent.contract.allocation import AgentError
from nodeagent.journal.durable import replace, sync_directory, write_all
from nodeagent.journal.records import Entry, GpuRecord

_MAX_LINES = 2000


class DamagedJournal(Exception):
    """The journal cannot be read. The text says where and what to do."""


class NotRecorded(AgentError):
    """The entry could not be written, so nothing was done: free space and try again."""


class Journal:
    """One GPU's journal and the record it folds to. One writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = GpuRecord()
        self._lines = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._read()
        except BaseException:
            os.close(self._descriptor)
            raise
        sync_directory(path.parent)

    def close(self) -> None:
        os.close(self._descriptor)

    def append(self, *entries: Entry) -> None:
        """Make the entries durable, all or none, then fold them in. Raises NotRecorded."""
        data = b"".join(_line(entry) for entry in entries)
        size = os.fstat(self._descriptor).st_size
        try:
            write_all(self._descriptor, data)
            os.fdatasync(self._descriptor)
        except OSError as e:
            os.ftruncate(self._descriptor, size)
            raise NotRecorded(f"cannot write {self.path}: {e.strerror}; nothing was changed, free some space") from e
        for entry in entries:
            self.record.apply(entry)
        self._lines += len(entries)
        if self._lines > _MAX_LINES:
            self._compact()

    def _read(self) -> None:
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self.record.apply(json.loads(line))
            except (ValueError, KeyError, TypeError) as e:
                raise DamagedJournal(
                    f"{self.path}, line {number} is damaged ({e}); repair the line, or remove the file: "
                    "instances on this GPU then count as foreign"
                ) from e
            self._lines = number
        if len(whole) < len(data):
            os.ftruncate(self._descriptor, len(whole))

    def _compact(self) -> None:
        """Best effort: the long journal stays valid when this fails."""
        entries = list(self.record.entries())
        try:
            replace(self.path, b"".join(_line(entry) for entry in entries))
            fresh = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except OSError:
            return
        os.close(self._descriptor)
        self._descriptor, self._lines = fresh, len(entries)


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"
