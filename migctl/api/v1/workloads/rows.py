"""Rows of lists: what is filtered, sorted and shown of each workload, kept for as long as its objects stay the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

from migctl.access.visible import VisibleObjects
from migctl.api.v1.service import RoutesService
from migctl.api.v1.workloads.record import created_at, phase_out, request_type
from migctl.backends.mirror import ObjectView
from migctl.backends.workload_status import allocated, holds
from migctl.objects import Claim, Department, Project, Workload


@dataclass(frozen=True, slots=True)
class ProjectPlace:
    """A project's id, and the id and name of its department."""

    uid: str
    department: str = ""
    department_uid: str = ""


NOWHERE = ProjectPlace("")


class WorkloadRow:
    """A workload with its pods."""

    def __init__(self, workload: Workload, pods: tuple[Claim, ...], place: ProjectPlace) -> None:
        self.workload = workload
        self.pods = pods
        self.place = place
        self.name = workload.meta.name
        self.project = workload.meta.project
        self.phase = phase_out(workload)
        self.request_type = request_type(workload.spec.gpu_request)
        self.created = created_at(workload)
        self.gpus = round(sum(map(allocated, pods)), 3)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Where its pods hold GPUs."""
        held = (pod.status.allocation for pod in self.pods if holds(pod))
        return tuple(sorted({grant.node for grant in held if grant is not None}))

    @cached_property
    def text(self) -> str:
        """What a search looks in, in lower case."""
        workload, spec = self.workload, self.workload.spec
        words = (self.name, spec.type, self.project, self.place.department, self.phase, spec.user, spec.image)
        return "\n".join((*words, workload.meta.uid, *self.nodes)).casefold()


class WorkloadRows:
    """The rows of all workloads of a view."""

    def __init__(self) -> None:
        self._generation = -1
        self._rows: dict[str, WorkloadRow] = {}
        self._projects: dict[str, list[WorkloadRow]] = {}
        self._kept_places: dict[str, ProjectPlace] = {}

    async def follow(self, view: ObjectView) -> None:
        """Catch up with the view."""
        generation = await view.wait(-1)
        if generation != self._generation:
            self._generation = generation
            self._update(view)

    def of(self, uid: str) -> WorkloadRow | None:
        """The row of a workload, by its id."""
        return self._rows.get(uid)

    def seen_by(self, seen: VisibleObjects) -> Iterator[WorkloadRow]:
        """The rows of the projects that a caller sees."""
        for project, rows in self._projects.items():
            if seen.sees_project(project):
                yield from rows

    def _update(self, view: ObjectView) -> None:
        pods: defaultdict[str, list[Claim]] = defaultdict(list)
        for claim in view.all(Claim):
            pods[claim.spec.workload_uid].append(claim)
        places = self._places(view)
        old, self._rows, self._projects = self._rows, {}, defaultdict(list)
        for workload in view.all(Workload):
            uid, project = workload.meta.uid, workload.meta.project
            mine = tuple(pods.get(uid, ()))
            place = places.get(project, NOWHERE)
            row = old.get(uid)
            if row is None or row.workload is not workload or row.place is not place or not _same(row.pods, mine):
                row = WorkloadRow(workload, mine, place)
            self._rows[uid] = row
            self._projects[project].append(row)
        self._kept_places = places

    def _places(self, view: ObjectView) -> dict[str, ProjectPlace]:
        """Where each project is; the same object as before where nothing changed."""
        departments = {one.meta.name: one.meta.uid for one in view.all(Department)}
        places = {}
        for project in view.all(Project):
            department = project.spec.department or ""
            place = ProjectPlace(project.meta.uid, department, departments.get(department, ""))
            kept = self._kept_places.get(project.meta.name)
            places[project.meta.name] = kept if kept == place else place
        return places


def _same(before: tuple[Claim, ...], now: tuple[Claim, ...]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))


_kept: WeakKeyDictionary[ObjectView, WorkloadRows] = WeakKeyDictionary()


async def rows_of(service: RoutesService) -> WorkloadRows:
    """The rows of a service, as new as its view."""
    rows = _kept.setdefault(service.view, WorkloadRows())
    await rows.follow(service.view)
    return rows
