"""`apply -f` and `delete -f`: objects as written in YAML, all of them looked at before any of them is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import typer

from migctl.backends.protocol import ControlPlaneError, NotFound
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control, Manifest
from migctl.cli.failures import ExitCode, Failure, not_found, refusal, usage
from migctl.cli.grammar import options
from migctl.cli.session import Session
from migctl.cli.workloads import documents
from migctl.cli.workloads.documents import Document
from migctl.quantities import BadQuantity

R = TypeVar("R")

NAMESPACE_S = 10.0

Read = tuple[Document, Manifest]


def apply(
    context: typer.Context,
    files: options.Files = None,
    project: options.Project = None,
    dry_run: options.DryRun = False,
) -> None:
    """Create what files describe, or change what is there to match.

    Takes what `submit --dry-run -o yaml` and `-o yaml` print, and Kubernetes objects. On one machine these are Pods,
    Jobs, StatefulSets and Deployments with one container; a field that has no meaning there is refused.
    """
    session = sessions.of(context)
    if not files:
        raise usage("apply what?", hint="migctl apply -f FILE; migctl submit --dry-run -o yaml prints one")
    found = documents.read(files)

    async def applied(control: Control) -> None:
        read = await _manifests(control, session, project, found)
        new = {manifest.name.partition("/")[2] for _, manifest in read if manifest.name.startswith("project/")}
        for document, manifest in read:
            if not dry_run and manifest.project in new:
                continue  # what is said about it now would be said about a project that is not there yet
            done = await _about(document, manifest.apply(dry_run=True))
            if dry_run:
                print(f"{manifest.name} {done} (dry run)")
        for number, (document, manifest) in enumerate(() if dry_run else read):
            try:
                done = await _about(document, _carried_out(manifest, manifest.project in new))
            except Failure:
                sessions.note(f"note: {number} of {len(read)} objects were applied before this error")
                raise
            print(f"{manifest.name} {done}", flush=True)

    session.run(applied)


async def _carried_out(manifest: Manifest, in_new_project: bool) -> str:
    """Apply it; on a cluster a project's namespace is there a moment after the project."""
    deadline = asyncio.get_running_loop().time() + NAMESPACE_S
    while True:
        try:
            return await manifest.apply(dry_run=False)
        except NotFound:
            if not in_new_project or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)


def delete(session: Session, files: list[str], project: str | None) -> None:
    """Delete what files describe: all of it, or nothing where something of it is not there."""
    found = documents.read(files)

    async def deleted(control: Control) -> None:
        read = await _manifests(control, session, project, found)
        for document, manifest in read:
            if not await _about(document, manifest.exists()):
                raise not_found(f"{_place(document)}: there is no {manifest.name}")
        for document, manifest in reversed(read):
            await _about(document, manifest.delete())
            print(f"{manifest.name} deleted", flush=True)

    session.run(deleted)


async def _manifests(control: Control, session: Session, project: str | None, found: list[Document]) -> list[Read]:
    """The documents as the control plane understands them."""
    chosen: list[str] = []

    async def default() -> str:
        if not chosen:
            chosen.append(await session.choose_project(control, project))
        return chosen[0]

    if project is not None:
        await default()
    read = [(document, await _about(document, control.manifest(document.body, default))) for document in found]
    for document, manifest in read:
        for note in manifest.notes:
            sessions.note(f"note: {_place(document)}: {note}")
        if project is not None and manifest.project not in ("", chosen[0]):
            raise Failure(
                f"{_place(document)}: it says project {manifest.project}, and -p says {chosen[0]}", code=ExitCode.USAGE
            )
    _once(read)
    return read


def _once(read: list[Read]) -> None:
    seen: set[tuple[str, str]] = set()
    for document, manifest in read:
        if (manifest.project, manifest.name) in seen:
            raise Failure(f"{_place(document)}: {manifest.name} stands there twice", code=ExitCode.USAGE)
        seen.add((manifest.project, manifest.name))


async def _about(document: Document, doing: Awaitable[R]) -> R:
    """What comes of it; an error says which document it is about."""
    try:
        return await doing
    except (ControlPlaneError, BadQuantity) as error:
        failure = refusal(error, None)
        raise Failure(f"{_place(document)}: {failure.message}", hint=failure.hint, code=failure.code) from error


def _place(document: Document) -> str:
    return f"{document.where} ({document.title})"
