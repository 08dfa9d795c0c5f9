"""A queue of a new name."""

from __future__ import annotations

from migctl.backends.protocol import AlreadyExists
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure
from migctl.cli.queues.columns import Q
from migctl.objects import singular


async def create(control: Control, queue: Q) -> Q:
    """The queue as it is stored; a failure that says what to do where there is one of that name."""
    kind, name = singular(type(queue)), queue.meta.name
    try:
        return await control.create(queue)
    except AlreadyExists:
        raise Failure(
            f"there is a {kind} {name!r} already",
            hint=f"migctl {kind} update {name} --quota ...",
            code=ExitCode.CONFLICT,
        ) from None
