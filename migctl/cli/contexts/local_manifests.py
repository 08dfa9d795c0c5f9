"""What YAML documents mean on one machine: objects of migctl, and Kubernetes workloads that can run as processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from migctl.api.admitting import AdmittingControlPlane
from migctl.backends import merge
from migctl.backends.protocol import Conflict, Invalid, Listing, NotFound
from migctl.cli.contexts import own_documents
from migctl.cli.contexts.control import Control, Default, Identity, Together
from migctl.cli.contexts.kubernetes_documents import companions, fields, workload
from migctl.cli.contexts.kubernetes_documents.asked import TEMPLATES
from migctl.cli.contexts.own_documents import Described
from migctl.objects import API_VERSION, Department, Meta, NodePool, Project, T, Workload, singular

NOT_WRITTEN = ("GpuNode", "Claim", "PlacementPlan", "Event")
RUNAI = "runai-"
ON_ITS_WAY: Mapping[str, type[Any]] = {"project": Project, "department": Department, "nodepool": NodePool}


@dataclass(frozen=True)
class LocalManifest:
    """One object, an own_documents.Described. said: fields of its spec that the document has; the others stay."""

    control: Control
    object: Any
    said: frozenset[str]
    notes: tuple[str, ...] = ()
    left_out: bool = False

    @property
    def name(self) -> str:
        return f"{singular(type(self.object))}/{self.object.meta.name}"

    @property
    def project(self) -> str:
        return str(self.object.meta.project)

    async def exists(self) -> bool:
        return await self._stored() is not None

    async def check_removal(self, going: Collection[tuple[str, str]]) -> None:
        stored = await self._stored()
        if stored is not None:
            await AdmittingControlPlane(_Left(self.control, going)).check_removal(stored)

    async def delete(self) -> None:
        stored = await self._stored()
        if stored is not None:
            await self.control.delete(stored)

    async def check(self, together: Together) -> str:
        """Raises Conflict for a field that cannot be changed, and what creating or changing it raises."""
        stored, admitting = await self._stored(), AdmittingControlPlane(_Applied(self.control, together))
        if stored is None:
            if isinstance(self.object, Workload):
                await admitting.check(self.object)
            else:
                await admitting.check_write(None, self.object)
            return "created"
        wanted = self._over(stored)
        try:
            await admitting.check_write(stored, wanted)
        except Invalid as error:
            if isinstance(stored, Workload):
                raise Conflict(str(error), error.hint) from None
            raise
        return "unchanged" if wanted == stored else "configured"

    async def apply(self) -> str:
        stored = await self._stored()
        if stored is None:
            await self.control.create(self.object)
            return "created"
        wanted = self._over(stored)
        if wanted == stored:
            return "unchanged"
        await self.control.patch(stored, merge.difference(stored, wanted))
        return "configured"

    async def compared(self) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
        stored = await self._stored()
        if stored is None:
            return None, own_documents.written(self.object)
        return own_documents.written(stored), own_documents.written(self._over(stored))

    async def _stored(self) -> Any:
        try:
            return await self.control.get(type(self.object), self.object.meta.name, self.object.meta.project)
        except NotFound:
            return None

    def _over(self, stored: Any) -> Any:
        """What is stored, with what the document says."""
        if stored.meta.deleting is not None:
            raise Conflict(f"{self.name} is being deleted", hint="apply it again when it is gone")
        changed = {
            field.name: getattr(self.object.spec, field.name)
            for field in msgspec.structs.fields(type(stored.spec))
            if field.encode_name in self.said
        }
        labels = {**stored.meta.labels, **self.object.meta.labels}
        spec: Any = replace(stored.spec, **changed)
        return replace(stored, meta=replace(stored.meta, labels=labels), spec=spec)


class _Applied(AdmittingControlPlane):
    """The control plane as it is when the queues and pools that are applied together are there. It is asked once."""

    def __init__(self, control: Control, together: Together) -> None:
        super().__init__(control)
        self._together = together

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        kept = self._together.kept
        if (kind, project) not in kept:
            kept[kind, project] = await self._read(kind, project)
        found: Listing[T] = kept[kind, project]
        return found

    async def _read(self, kind: type[T], project: str | None) -> Listing[T]:
        there: Any = await super().list(kind, project)
        known = {obj.meta.name for obj in there.items}
        coming = {
            name
            for word, _, name in (made.partition("/") for made in self._together.names)
            if ON_ITS_WAY.get(word) is kind
        }
        new: list[Any] = [ON_ITS_WAY[singular(kind)](meta=Meta(name=name)) for name in sorted(coming - known)]
        return Listing((*there.items, *new), there.version)


class _Left(AdmittingControlPlane):
    """The control plane as it is when the objects that are deleted together with one are gone."""

    def __init__(self, control: Control, going: Collection[tuple[str, str]]) -> None:
        super().__init__(control)
        self._going = going

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        there: Any = await super().list(kind, project)
        word = singular(kind)
        left = (obj for obj in there.items if (obj.meta.project, f"{word}/{obj.meta.name}") not in self._going)
        return Listing(tuple(obj for obj in left if obj.meta.deleting is None), there.version)


@dataclass(frozen=True)
class LeftOut:
    """An object of Kubernetes that goes with a workload, and that one machine has nothing of."""

    name: str
    notes: tuple[str, ...]
    project: str = ""
    left_out: bool = True

    async def exists(self) -> bool:
        return True

    async def check(self, together: Together) -> str:
        return "left out"

    async def apply(self) -> str:
        return "left out"

    async def compared(self) -> tuple[None, Mapping[str, Any]]:
        return None, {}

    async def check_removal(self, going: Collection[tuple[str, str]]) -> None:
        """Nothing needs it."""

    async def delete(self) -> None:
        """There is nothing to delete."""


async def understood(
    control: Control, body: Mapping[str, Any], project: Default, together: Together
) -> LocalManifest | LeftOut:
    """The object that one of the documents describes. Raises Invalid, naming the field, for what has no meaning."""
    version, kind = str(body.get("apiVersion", "")), str(body["kind"])
    notes: tuple[str, ...] = ()
    made: Described
    if version == API_VERSION and kind in own_documents.KINDS:
        made, said = own_documents.read(body)
    elif (version, kind) in fields.KINDS:
        found = workload.read(body, _templates(together))
        made, said, notes = found.workload, found.said, found.notes
        made = own_documents.placed(made, await _project(control, made.meta.project))
    elif why := companions.why_left_out(version, kind):
        return LeftOut(f"{kind.lower()}/{_name(body)}", (f"it is left out: {why}",))
    else:
        raise _unknown(version, kind)
    if isinstance(made, Workload):
        made = own_documents.placed(made, made.meta.project or await project())
        made = own_documents.ranked(made, said)
        if not made.spec.user:
            made = replace(made, spec=replace(made.spec, user=await _user(control, together)))
            said -= {"user"}
    elif made.meta.project:
        raise Invalid(f"a {kind} belongs to no project", field="meta.project")
    return LocalManifest(control, made, said, notes)


def _templates(together: Together) -> Mapping[str, Any]:
    if TEMPLATES not in together.kept:
        together.kept[TEMPLATES] = {_name(body): body for body in together.bodies if body.get("kind") == TEMPLATES}
    found: Mapping[str, Any] = together.kept[TEMPLATES]
    return found


async def _user(control: Control, together: Together) -> str:
    if Identity not in together.kept:
        together.kept[Identity] = await control.identity()
    return str(together.kept[Identity].user)


def _name(body: Mapping[str, Any]) -> str:
    metadata = body.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""


async def _project(control: Control, namespace: str) -> str:
    """The project of a namespace, which may be called after it: runai-team-a is team-a's."""
    called = namespace.removeprefix(RUNAI)
    if called == namespace or not called:
        return namespace
    there = {project.meta.name for project in (await control.list(Project)).items}
    return called if called in there and namespace not in there else namespace


def _unknown(version: str, kind: str) -> Invalid:
    if version == API_VERSION and kind in NOT_WRITTEN:
        return Invalid(f"a {kind} is made by migctl itself, and cannot be applied")
    theirs = ", ".join(sorted(known for _, known in fields.KINDS))
    return Invalid(
        f"there is no {kind} of {version or 'no apiVersion'} on one machine",
        hint=f"{API_VERSION} has {', '.join(own_documents.KINDS)}; of Kubernetes there are {theirs}",
    )
