"""Rows of lists: what is filtered, sorted and shown of each workload, kept for as long as its objects stay the same."""

from __future__ import annotations

import itertools
import operator
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar
from weakref import WeakKeyDictionary

from migctl.access.visible import VisibleObjects
from migctl.api.v1.service import RoutesService
from migctl.api.v1.workloads.record import created_at, phase_out, request_type
from migctl.backends.mirror import ObjectView
from migctl.backends.workload_status import allocated, holds
from migctl.objects import Claim, Department, Project, Workload

X = TypeVar("X")
FEW = 100


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
        self.uid = workload.meta.uid
        self.name = workload.meta.name
        self.project = workload.meta.project
        self.phase = phase_out(workload)
        self.request_type = request_type(workload.spec.gpu_request)
        self.created = created_at(workload)
        self.gpus = round(sum(map(allocated, pods)), 3)

    @cached_property
    def texts(self) -> dict[str, str]:
        """What filters compare as text, by the name of the field, in lower case."""
        spec, place = self.workload.spec, self.place
        given = {
            "type": spec.type,
            "name": self.name,
            "id": self.uid,
            "projectName": self.project,
            "projectId": place.uid,
            "departmentName": place.department,
            "departmentId": place.department_uid,
            "phase": self.phase,
            "submittedBy": spec.user,
            "image": spec.image,
            "gpuRequestType": self.request_type,
            "preemptible": str(spec.preemptible),
        }
        return {field: text.casefold() for field, text in given.items()}

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Where its pods hold GPUs."""
        held = (pod.status.allocation for pod in self.pods if holds(pod))
        return tuple(sorted({grant.node for grant in held if grant is not None}))

    @cached_property
    def text(self) -> str:
        """What a search looks in, in lower case."""
        shown = ("name", "type", "projectName", "departmentName", "phase", "submittedBy", "image", "id")
        return "\n".join((*(self.texts[field] for field in shown), *map(str.casefold, self.nodes)))


class WorkloadRows:
    """The rows of all workloads of a view. Only what changed is made anew: objects are known by their identity."""

    def __init__(self) -> None:
        self._generation = -1
        self._workloads: tuple[Workload, ...] = ()
        self._claims: tuple[Claim, ...] = ()
        self._places: dict[str, ProjectPlace] = {}
        self._pods: defaultdict[str, dict[str, Claim]] = defaultdict(dict)
        self._rows: dict[str, WorkloadRow] = {}
        self._projects: defaultdict[str, dict[str, WorkloadRow]] = defaultdict(dict)

    async def follow(self, view: ObjectView) -> None:
        """Catch up with the view."""
        generation = await view.wait(-1)
        if generation != self._generation:
            self._generation = generation
            self._update(view)

    def all(self) -> tuple[WorkloadRow, ...]:
        """Every row; one whose workload, pods and place did not change is the same as before."""
        return tuple(self._rows.values())

    def of(self, uid: str) -> WorkloadRow | None:
        """The row of a workload, by its id."""
        return self._rows.get(uid)

    def seen_by(self, seen: VisibleObjects) -> list[WorkloadRow]:
        """The rows of the projects that a caller sees."""
        visible = (rows.values() for project, rows in self._projects.items() if seen.sees_project(project))
        return list(itertools.chain.from_iterable(visible))

    def _update(self, view: ObjectView) -> None:
        touched = self._moved(view)
        before, self._claims = self._claims, view.all(Claim)
        gone, come = difference(before, self._claims)
        for claim in gone:
            self._pods[claim.spec.workload_uid].pop(claim.meta.uid, None)
        for claim in come:
            self._pods[claim.spec.workload_uid][claim.meta.uid] = claim
        touched.update(claim.spec.workload_uid for claim in (*gone, *come))
        known, self._workloads = self._workloads, view.all(Workload)
        left, arrived = difference(known, self._workloads)
        for workload in left:
            self._rows.pop(workload.meta.uid, None)
            self._projects[workload.meta.project].pop(workload.meta.uid, None)
        for workload in arrived:
            self._put(workload)
        for uid in touched - {workload.meta.uid for workload in arrived}:
            if uid in self._rows:
                self._put(self._rows[uid].workload)
            elif not self._pods[uid]:
                del self._pods[uid]

    def _put(self, workload: Workload) -> None:
        uid, project = workload.meta.uid, workload.meta.project
        row = WorkloadRow(workload, tuple(self._pods[uid].values()), self._places.get(project, NOWHERE))
        self._rows[uid] = self._projects[project][uid] = row

    def _moved(self, view: ObjectView) -> set[str]:
        """Learn where each project is; the workloads of those that are elsewhere than before."""
        departments = {one.meta.name: one.meta.uid for one in view.all(Department)}
        before, self._places = self._places, {}
        for project in view.all(Project):
            department = project.spec.department or ""
            place = ProjectPlace(project.meta.uid, department, departments.get(department, ""))
            self._places[project.meta.name] = place
        moved = {name for name in before.keys() | self._places.keys() if before.get(name) != self._places.get(name)}
        return {uid for name in moved if name in self._projects for uid in self._projects[name]}


def difference(before: tuple[X, ...], now: tuple[X, ...]) -> tuple[list[X], list[X]]:
    """The objects that are gone, and those that came; one that changed is both. Mostly a few are changed in place."""
    if len(before) == len(now):
        same = bytes(map(operator.is_, before, now))
        if same.count(0) <= FEW:
            changed = [place for place, kept in enumerate(same) if not kept] if 0 in same else []
            return [before[place] for place in changed], [now[place] for place in changed]
    old, new = {id(one): one for one in before}, {id(one): one for one in now}
    return [old[one] for one in old.keys() - new.keys()], [new[one] for one in new.keys() - old.keys()]


_kept: WeakKeyDictionary[ObjectView, WorkloadRows] = WeakKeyDictionary()


async def rows_of(service: RoutesService) -> WorkloadRows:
    """The rows of a service, as new as its view."""
    rows = _kept.setdefault(service.view, WorkloadRows())
    await rows.follow(service.view)
    return rows
