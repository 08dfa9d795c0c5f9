"""The SQLite file: the one module that talks to sqlite3.

Three tables: the objects, the latest changes, and the revision. A commit is one transaction
that is on the disk (WAL, synchronous=FULL) before it is acknowledged. A file that cannot be
trusted is refused and left as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from migctl.backends.protocol import Change, ChangeType, ControlPlaneError, Unavailable
from migctl.objects import KINDS, Object, decode, encode

SCHEMA = 2
_UPGRADES = {
    # spec.ask of workloads and claims became spec.gpuRequest; earlier watches start anew.
    1: """
update objects set body = cast(json_remove(json_set(cast(body as text),
    '$.spec.gpuRequest', json_extract(cast(body as text), '$.spec.ask')), '$.spec.ask') as blob)
  where json_type(cast(body as text), '$.spec.ask') is not null;
delete from changes;
""",
}
"""What makes of a file of one format a file of the next one, by the older format's number."""
APPLICATION = 0x4D494743
"""PRAGMA application_id of our files: "MIGC"."""

_SURROUNDINGS = (
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY),
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM),
)
"""Errors that say nothing against the file itself."""

_TABLES = f"""
create table objects (
  kind text not null, project text not null, name text not null, body blob not null,
  primary key (kind, project, name)
) without rowid;
create table changes (version integer primary key, type text not null, kind text not null, body blob not null);
create table counter (revision integer not null);
pragma application_id = {APPLICATION};
pragma user_version = {SCHEMA};
"""


class StoreUnusable(ControlPlaneError):
    """The state file cannot be opened as it is. Nothing in it was touched."""


class StoreInUse(StoreUnusable):
    """Another process owns the state file."""


class Database:
    """The open state file, owned by this process alone.

    birth  first revision of a new file; later files begin later, so that a version of an
           earlier file is too old here and never in the future
    """

    def __init__(self, path: Path, birth: int) -> None:
        self._path = path
        self._lock = _own(path)
        try:
            self._connection = self._open(birth)
        except BaseException:
            os.close(self._lock)
            raise

    def load(self) -> tuple[int, Sequence[Object], Sequence[Change[Any]]]:
        """Revision, objects and the stored changes, oldest first."""
        with self._refusing():
            (revision,) = self._connection.execute("select revision from counter").fetchone()
            rows = self._connection.execute("select kind, body from objects").fetchall()
            log = self._connection.execute("select type, kind, body from changes order by version").fetchall()
            changes = [Change(ChangeType(change), _read(kind, body)) for change, kind, body in log]
            return revision, [_read(kind, body) for kind, body in rows], changes

    def append(self, changes: Sequence[Change[Any]], oldest: int) -> None:
        """Store the changes, all or none, and delete those up to revision `oldest`. Raises Unavailable."""
        try:
            with self._transaction():
                for change in changes:
                    self._write(change)
                self._connection.execute("update counter set revision = ?", (int(changes[-1].object.meta.version),))
                self._connection.execute("delete from changes where version <= ?", (oldest,))
        except sqlite3.Error as error:
            raise Unavailable(
                f"the state file {self._path} cannot be written: {error}; nothing was changed",
                hint=f"make room on the disk of {self._path.parent}, then try again",
            ) from error

    def close(self) -> None:
        self._connection.close()
        os.close(self._lock)

    def _write(self, change: Change[Any]) -> None:
        obj: Object = change.object
        key, body = (obj.PLURAL, obj.meta.project, obj.meta.name), encode(obj)
        if change.type is ChangeType.DELETED:
            self._connection.execute("delete from objects where kind = ? and project = ? and name = ?", key)
        else:
            self._connection.execute("insert or replace into objects values (?, ?, ?, ?)", (*key, body))
        self._connection.execute(
            "insert into changes values (?, ?, ?, ?)", (int(obj.meta.version), change.type, obj.PLURAL, body)
        )

    def _open(self, birth: int) -> sqlite3.Connection:
        companions = [Path(f"{self._path}-wal"), Path(f"{self._path}-shm")]
        if not self._path.exists() and any(file.exists() for file in companions):
            raise self._unusable(f"{self._path} is missing, but its journal {companions[0]} is still there")
        with contextlib.suppress(OSError):
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._refusing():
            # One connection, used by one thread at a time: the constructor's, then the writer's.
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                self._verify(connection)
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = full")
                if not connection.execute("select count(*) from sqlite_master").fetchone()[0]:
                    connection.executescript(f"begin; {_TABLES} insert into counter values ({birth}); commit;")
                for schema in range(_schema(connection), SCHEMA):
                    connection.executescript(f"begin; {_UPGRADES[schema]} pragma user_version = {schema + 1}; commit;")
            except BaseException:
                connection.close()
                raise
            return connection

    def _verify(self, connection: sqlite3.Connection) -> None:
        """Refuses a damaged file, another program's file and another version's."""
        (verdict,) = connection.execute("pragma quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        (application,) = connection.execute("pragma application_id").fetchone()
        schema = _schema(connection)
        (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
        if tables and application != APPLICATION:
            raise self._unusable(f"{self._path} is a database of another program")
        if tables and schema not in (*_UPGRADES, SCHEMA):
            age = "an older" if schema < SCHEMA else "a newer"
            raise self._unusable(f"{self._path} was written by {age} migctl (format {schema}, this one reads {SCHEMA})")

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.DecodeError, KeyError, ValueError, TypeError) as error:
            if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _SURROUNDINGS:
                raise _unopened(self._path, error) from error
            raise self._unusable(f"the state file {self._path} is damaged: {error}") from error

    def _unusable(self, what: str) -> StoreUnusable:
        aside = self._path.parent / "aside"
        return StoreUnusable(
            f"{what}; it was left as it is",
            hint=f"start anew with `mkdir {aside} && mv {self._path}* {aside}`, then `migctl up`",
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise


def _schema(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


def _read(kind: str, body: bytes) -> Any:
    known: type[Any] = KINDS[kind]
    return decode(body, known)


def _unopened(path: Path, error: Exception) -> StoreUnusable:
    return StoreUnusable(
        f"the state file {path} cannot be opened: {error}",
        hint=f"check that {path.parent} exists, is yours to write and has room",
    )


def _own(path: Path) -> int:
    """Lock the file beside the store that says who owns it; a dead owner's lock is released with it."""
    file = Path(f"{path}.lock")
    try:
        lock = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unopened(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(lock, 32).decode(errors="replace").strip()
        os.close(lock)
        raise StoreInUse(
            f"the state file {path} is in use by process {owner or '(unknown)'}",
            hint="stop it with `migctl down`, or choose another state directory",
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock
