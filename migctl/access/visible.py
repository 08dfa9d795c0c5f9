"""The cached objects that a caller may see."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import cast

from msgspec.structs import replace

from migctl.access.caller import Place, Rights
from migctl.access.rights import Reach, Verb
from migctl.access.texts import without_others
from migctl.backends.mirror import ObjectView
from migctl.objects import Claim, Department, Event, GpuNode, NodePool, Object, Project, T, Workload


class VisibleObjects:
    """A view of the objects that one caller may read. What he may not see is not there."""

    def __init__(self, view: ObjectView, rights: Rights) -> None:
        self._view = view
        self._rights = rights
        self._projects: dict[str, bool] = {}

    @property
    def synced(self) -> bool:
        return self._view.synced

    def all(self, kind: type[T]) -> tuple[T, ...]:
        return tuple(shown(obj, self) for obj in self._view.all(kind) if self.sees(obj))

    def get(self, kind: type[T], name: str, project: str = "") -> T | None:
        obj = self._view.get(kind, name, project)
        return shown(obj, self) if obj is not None and self.sees(obj) else None

    def sees(self, obj: Object) -> bool:
        """Whether he may read it."""
        return self.sees_project(obj.meta.project) if obj.meta.project else self._rights.may(Verb.READ, obj)

    def sees_project(self, name: str) -> bool:
        """Whether he may see a project and what is in it."""
        if name not in self._projects:
            project = self._view.get(Project, name)
            self._projects[name] = project is not None and self._rights.may(Verb.READ, project)
        return self._projects[name]

    def sees_at(self, resource: str, place: Place, *, exists: bool = True) -> bool:
        """Whether he may read objects of a kind (its plural name) at a place, now or as it was once.

        exists  whether the place's project is there: what is in none that is known, nobody sees
        """
        resource = Project.PLURAL if place.project else resource
        return exists and self._rights.reach(Verb.READ, resource, place) is Reach.ALL

    def shown(self, obj: T) -> T:
        """An object that he sees, as he sees it."""
        return shown(obj, self)

    @property
    def rights_key(self) -> Hashable:
        """What he may do; the same for the same rights."""
        return self._rights.caller.access

    def audience(self) -> Hashable:
        """What he sees of all; two callers with the same see the same of every object, but for their own names."""
        return (
            frozenset(one.meta.name for one in self._view.all(Project) if self.sees_project(one.meta.name)),
            frozenset(one.meta.name for one in self._view.all(Department) if self.sees(one)),
            tuple(self.sees_at(kind.PLURAL, Place()) for kind in (GpuNode, NodePool)),
        )

    def anew(self) -> VisibleObjects:
        """The same by the same rights, as the objects are now."""
        return VisibleObjects(self._view, self._rights)

    async def renewed(self) -> VisibleObjects:
        """The same by the rights that he has now. Raises ControlPlaneError where nobody can tell."""
        return self.anew()

    @property
    def sees_all_projects(self) -> bool:
        """Whether he may see the work of every project, also of those that are gone."""
        return self._rights.reach(Verb.READ, Workload.PLURAL, Place()) is Reach.ALL

    def text(self, text: str) -> str:
        """What a decision wrote, as he may read it."""
        return text if self.sees_all_projects else without_others(text, self.sees_project)


def shown(obj: T, seen: VisibleObjects) -> T:
    """An object without what names other projects' work: nodes report what they hold, decisions for whom they were."""
    told: Object = obj
    match told:
        case GpuNode():
            told = _node(told, seen)
        case Event():
            told = replace(told, spec=replace(told.spec, message=seen.text(told.spec.message)))
        case Workload() if told.status.message:
            told = replace(told, status=replace(told.status, message=seen.text(told.status.message)))
        case Claim() if told.status.message or told.status.evicted:
            message, evicted = seen.text(told.status.message), seen.text(told.status.evicted)
            told = replace(told, status=replace(told.status, message=message, evicted=evicted))
    return cast("T", told)


def _node(obj: GpuNode, seen: VisibleObjects) -> GpuNode:
    report = obj.status.report
    if report is None:
        return obj
    hidden = tuple(one for one in report.allocations if not seen.sees_project(one.project))
    if not hidden:
        return obj
    claims, names = {one.claim for one in hidden}, {one.name for one in hidden}
    reduced = dataclasses.replace(
        report,
        allocations=tuple(
            dataclasses.replace(one, name="", project="") if one.claim in claims else one for one in report.allocations
        ),
        processes=tuple(process for process in report.processes if process.claim not in claims),
        notes={
            about: note
            for about, note in report.notes.items()
            if about not in claims and not about.startswith("pid ") and not any(name in note for name in names)
        },
    )
    return replace(obj, status=replace(obj.status, report=reduced))
