"""`apply -f` and `delete -f`: objects as written in YAML, all of them looked at before any of them is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import typer

from migctl.backends.protocol import Conflict, NotFound
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import not_found, usage
from migctl.cli.files.understanding import Source, Understood, understood
from migctl.cli.grammar import options
from migctl.cli.session import Session

R = TypeVar("R")

SETTLED_S = 10.0
"""How long what was just made or deleted may take until others notice."""
NAMED = 10


def apply(
    context: typer.Context,
    files: options.Files = None,
    recursive: options.Recursive = False,
    project: options.Project = None,
    dry_run: options.DryRun = False,
) -> None:
    """Create what files describe, or change what is there to match.

    Takes what `submit --dry-run -o yaml` and `-o yaml` print, and Kubernetes objects. On one machine these are Pods,
    Jobs, StatefulSets and Deployments with one container; notes name the fields that have no effect there. All
    documents are checked before the first is applied.
    """
    session = sessions.of(context)
    if not files:
        raise usage("apply what?", hint="migctl apply -f FILE; migctl submit --dry-run -o yaml prints one")
    source = Source(files, recursive, project)
    found = source.read()

    async def applied(control: Control) -> None:
        read, together = await understood(control, session, source, found)
        for each in read:
            done = await each.about(each.manifest.check(together))
            if dry_run:
                print(f"{each.manifest.name} {done} (dry run)")
        if dry_run:
            return
        with _said_how_far("applied", read) as following:
            for each in following:
                new = f"project/{each.manifest.project}" in together.names
                done = await each.about(_settled(each.manifest.apply, NotFound if new else None))
                print(f"{each.manifest.name} {done}", flush=True)

    session.run(applied)


def delete(session: Session, source: Source, missing_is_fine: bool) -> None:
    """Delete what files describe: all of it, or nothing where something of it is not there.

    missing_is_fine  what is not there is passed over
    """
    found = source.read()

    async def deleted(control: Control) -> None:
        read, _ = await understood(control, session, source, found, notes=False)
        there = [each for each in read if await each.about(each.manifest.exists())]
        for each in read:
            if each not in there and not missing_is_fine:
                raise not_found(
                    f"{each.place}: there is no {each.manifest.name}", hint="--ignore-not-found deletes the others"
                )
        going = {(each.manifest.project, each.manifest.name) for each in there}
        for each in there:
            await each.about(each.manifest.check_removal(going))
        with _said_how_far("deleted", there[::-1]) as following:
            for each in following:
                await each.about(_settled(each.manifest.delete, Conflict if len(there) > 1 else None))
                print(f"{each.manifest.name} deleted", flush=True)

    session.run(deleted)


async def _settled(act: Callable[[], Awaitable[R]], passing: type[Exception] | None) -> R:
    """What comes of it, tried again while it is refused because of what was done a moment ago.

    On a cluster a project's namespace is there a moment after the project; processes end a moment after their workload
    is deleted, and their project can go then.
    """
    deadline = asyncio.get_running_loop().time() + SETTLED_S
    while True:
        try:
            return await act()
        except Exception as error:
            late = asyncio.get_running_loop().time() > deadline
            if passing is None or not isinstance(error, passing) or late:
                raise
            await asyncio.sleep(0.1)


@contextmanager
def _said_how_far(done: str, read: Sequence[Understood]) -> Iterator[Iterator[Understood]]:
    """The objects one by one. An error in between says which of them are done, and which are not."""
    finished = 0

    def following() -> Iterator[Understood]:
        nonlocal finished
        for each in read:
            yield each
            finished += 1

    try:
        yield following()
    except BaseException:
        if len(read) > 1:
            sessions.note(f"note: {finished} of {len(read)} objects were {done} before this error")
            names = [each.manifest.name for each in read[finished:]]
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            sessions.note(f"note: not {done}: {', '.join(names[:NAMED])}{more}")
        raise
