"""What YAML documents mean on one machine: objects of migctl, and Kubernetes workloads that can run as processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from migctl import admission
from migctl.backends import merge
from migctl.backends.protocol import Conflict, Invalid, NotFound
from migctl.cli.contexts import kubernetes_workloads, own_documents
from migctl.cli.contexts.control import Control, Default
from migctl.cli.contexts.own_documents import Described
from migctl.objects import API_VERSION, Department, Project, Workload, singular

NOT_WRITTEN = ("GpuNode", "Claim", "PlacementPlan", "Event")


@dataclass(frozen=True)
class LocalManifest:
    """One object, an own_documents.Described. said: fields of its spec that the document has; the others stay."""

    control: Control
    object: Any
    said: frozenset[str]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{singular(type(self.object))}/{self.object.meta.name}"

    @property
    def project(self) -> str:
        return str(self.object.meta.project)

    async def exists(self) -> bool:
        return await self._stored() is not None

    async def delete(self) -> None:
        stored = await self._stored()
        if stored is not None:
            await self.control.delete(stored)

    async def apply(self, dry_run: bool) -> str:
        """Raises Conflict for a field that cannot be changed, and what creating or changing it raises."""
        stored = await self._stored()
        if stored is None:
            await self._create(dry_run)
            return "created"
        if stored.meta.deleting is not None:
            raise Conflict(f"{self.name} is being deleted", hint="apply it again when it is gone")
        wanted = self._over(stored)
        if wanted == stored:
            return "unchanged"
        _check_change(stored, wanted)
        if not dry_run:
            await self.control.patch(stored, merge.difference(stored, wanted))
        return "configured"

    async def _stored(self) -> Any:
        try:
            return await self.control.get(type(self.object), self.object.meta.name, self.object.meta.project)
        except NotFound:
            return None

    async def _create(self, dry_run: bool) -> None:
        if not dry_run:
            await self.control.create(self.object)
        elif isinstance(self.object, Workload):
            await self.control.preview(self.object)
        else:
            _check_queue(self.object)

    def _over(self, stored: Any) -> Any:
        """What is stored, with what the document says."""
        changed = {
            field.name: getattr(self.object.spec, field.name)
            for field in msgspec.structs.fields(type(stored.spec))
            if field.encode_name in self.said
        }
        labels = {**stored.meta.labels, **self.object.meta.labels}
        spec: Any = replace(stored.spec, **changed)
        return replace(stored, meta=replace(stored.meta, labels=labels), spec=spec)


def _check_change(stored: Described, wanted: Described) -> None:
    if not isinstance(stored, Workload) or not isinstance(wanted, Workload):
        _check_queue(wanted)
        return
    try:
        admission.check_change(stored, wanted)
    except Invalid as error:
        raise Conflict(str(error), error.hint) from None


def _check_queue(wanted: Described) -> None:
    if isinstance(wanted, Project):
        admission.check_project(wanted)
    elif isinstance(wanted, Department):
        admission.check_department(wanted)


async def understood(control: Control, body: Mapping[str, Any], project: Default) -> LocalManifest:
    """The object that a document describes. Raises Invalid, naming the field, for what has no meaning here."""
    version, kind = str(body.get("apiVersion", "")), str(body["kind"])
    notes: tuple[str, ...] = ()
    made: Described
    if version == API_VERSION and kind in own_documents.KINDS:
        made, said = own_documents.read(body)
    elif (version, kind) in kubernetes_workloads.KINDS:
        made, said, notes = kubernetes_workloads.workload(body)
    else:
        raise _unknown(version, kind)
    if isinstance(made, Workload):
        made = own_documents.placed(made, "" if made.meta.project else await project())
        made = own_documents.ranked(made, said)
    elif made.meta.project:
        raise Invalid(f"a {kind} belongs to no project", field="meta.project")
    return LocalManifest(control, made, said, notes)


def _unknown(version: str, kind: str) -> Invalid:
    if version == API_VERSION and kind in NOT_WRITTEN:
        return Invalid(f"a {kind} is made by migctl itself, and cannot be applied")
    theirs = ", ".join(sorted(known for _, known in kubernetes_workloads.KINDS))
    return Invalid(
        f"there is no {kind} of {version or 'no apiVersion'} on one machine",
        hint=f"{API_VERSION} has {', '.join(own_documents.KINDS)}; of Kubernetes there are {theirs}",
    )
