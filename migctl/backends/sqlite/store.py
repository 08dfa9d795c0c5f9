"""The control plane over a SQLite file: SqliteControlPlane.

Reads come from memory. Writes that arrive while the disk is busy wait together and go into one
transaction: each is decided on the state its predecessors leave, none is visible or
acknowledged before all of them are on the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import uuid4

from migctl.backends.protocol import Change, Listing, Unavailable
from migctl.backends.sqlite.database import Database
from migctl.backends.sqlite.state import LOG_LENGTH, ObjectState
from migctl.backends.sqlite.transaction import Transaction, Uids
from migctl.clock import Clock, system_clock
from migctl.objects import T

R = TypeVar("R")


def random_uid() -> str:
    """A UUID, version 4."""
    return str(uuid4())


class _Write(Generic[R]):
    """A queued write and its result."""

    def __init__(self, decide: Callable[[Transaction], R]) -> None:
        self._decide = decide
        self._outcome: R | None = None
        self.answer: asyncio.Future[R | None] = asyncio.get_running_loop().create_future()

    def decide(self, transaction: Transaction) -> None:
        """Add its change to the transaction, or answer at once that it may not."""
        try:
            self._outcome = self._decide(transaction)
        except Exception as error:  # raised to its caller; the other writes continue
            self.fail(error)

    def succeed(self) -> None:
        if not self.answer.done():
            self.answer.set_result(self._outcome)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class SqliteControlPlane:
    """The protocol's ControlPlane in a file. The constructor raises StoreUnusable and StoreInUse.

    log_length  how many changes a watch may be behind, at least
    """

    def __init__(
        self, path: Path, clock: Clock = system_clock, uids: Uids = random_uid, log_length: int = LOG_LENGTH
    ) -> None:
        self._clock = clock
        self._uids = uids
        self._database = Database(path, birth=int(clock().timestamp() * 1000))
        try:
            revision, objects, log = self._database.load()
        except BaseException:
            self._database.close()
            raise
        self._state = ObjectState(revision, objects, log, log_length)
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="migctl-store")
        self._waiting: list[_Write[Any]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        return self._state.list(kind, project)

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        return self._state.get(kind, name, project)

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        return self._state.watch(kind, since)

    async def create(self, obj: T) -> T:
        return await self._write(lambda transaction: transaction.create(obj))

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        return await self._write(lambda transaction: transaction.patch(obj, changes, fenced))

    async def delete(self, obj: T) -> None:
        await self._write(lambda transaction: transaction.delete(obj))

    async def close(self) -> None:
        """Finish the pending writes, end the watches and close the file."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            await self._writer
        self._state.close()
        self._disk.shutdown()
        self._database.close()

    async def _write(self, decide: Callable[[Transaction], R]) -> R:
        if self._closed:
            raise Unavailable("the control plane was closed")
        write = _Write(decide)
        self._waiting.append(write)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._drain())
        return await write.answer  # type: ignore[return-value]  # None only where R is None

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            transaction = Transaction(self._state, self._clock, self._uids)
            for write in batch:
                write.decide(transaction)
            error = await self._commit(transaction)
            for write in batch:
                if error is None:
                    write.succeed()
                else:
                    write.fail(error)

    async def _commit(self, transaction: Transaction) -> Exception | None:
        """Store the transaction and show it to readers, or say why it could not be stored."""
        if not transaction.changes:
            return None
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._disk, self._database.append, transaction.changes, self._state.oldest)
        except Exception as error:  # any error must reach the waiting writers
            return error
        self._state.apply(transaction.changes)
        return None
