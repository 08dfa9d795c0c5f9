"""What the commands about projects and those about departments do alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from migctl.backends.protocol import AlreadyExists, ControlPlane
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import view, write_one
from migctl.cli.queues import description
from migctl.cli.queues.columns import Q
from migctl.cli.queues.description import Described
from migctl.cli.session import Session
from migctl.objects import singular


@dataclass(frozen=True)
class QueueCommands(Generic[Q]):
    """The commands about one kind of queue.

    require   the queue of a name; a Failure that lists those there are where there is none
    described the queue with what is in it
    """

    kind: type[Q]
    require: Callable[[Control, str], Awaitable[Q]]
    described: Callable[[ControlPlane, Q], Awaitable[Described]]

    def create(self, session: Session, queue: Q, output: Format | None, text: str) -> Q:
        """The queue as it is stored, written; a Failure that says what to do where there is one of that name."""
        word, name = singular(self.kind), queue.meta.name

        async def created(control: Control) -> Q:
            try:
                return await control.create(queue)
            except AlreadyExists:
                raise Failure(
                    f"there is a {word} {name!r} already",
                    hint=f"migctl {word} update {name} --quota ...",
                    code=ExitCode.CONFLICT,
                ) from None

        made = session.run(created)
        write_one(made, view(session, output), lambda: print(text))
        return made

    def update(self, session: Session, name: str, changes: Mapping[str, Any], output: Format | None) -> None:
        """Patch the spec of a queue, and write it."""

        async def updated(control: Control) -> Q:
            return await control.patch(await self.require(control, name), {"spec": changes})

        text = f"Updated {singular(self.kind)} {name}"
        write_one(session.run(updated), view(session, output), lambda: print(text))

    def describe(self, session: Session, name: str, output: Format | None) -> None:
        """Write everything about a queue."""

        async def read(control: Control) -> Described:
            return await self.described(control, await self.require(control, name))

        description.write(session.run(read), session, view(session, output))

    def delete(self, session: Session, name: str) -> None:
        """Delete a queue, and say so."""

        async def deleted(control: Control) -> None:
            await control.delete(await self.require(control, name))

        session.run(deleted)
        print(f"Deleted {singular(self.kind)} {name}")
