"""The control plane with admission: every user's write is checked first."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from migctl import admission, node_pools
from migctl.backends.merge import merged
from migctl.backends.protocol import Change, Conflict, ControlPlane, Listing
from migctl.objects import Department, GpuNode, NodePool, Object, Project, T, Workload


class AdmittingControlPlane:
    """A ControlPlane in front of another one that checks every write."""

    def __init__(self, behind: ControlPlane) -> None:
        self._behind = behind
        self._arriving: Counter[str] = Counter()
        self._leaving: set[str] = set()

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        return await self._behind.list(kind, project)

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        return await self._behind.get(kind, name, project)

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        return self._behind.watch(kind, since)

    async def create(self, obj: T) -> T:
        if isinstance(obj, Workload):
            return await self._submit(obj)
        await self.check_write(None, obj)
        return await self._behind.create(obj)

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        if not isinstance(obj, Workload | Project | Department | NodePool | GpuNode):
            return await self._behind.patch(obj, changes, fenced=fenced)
        while True:
            stored = await self._behind.get(type(obj), obj.meta.name, obj.meta.project)
            await self.check_write(stored, merged(stored, changes))
            checked = obj if fenced or stored.meta.uid != obj.meta.uid else stored
            try:
                return await self._behind.patch(checked, changes, fenced=True)
            except Conflict:
                if fenced:
                    raise

    async def check(self, workload: Workload) -> None:
        """Raises the admission errors that creating the workload would."""
        projects, nodes = (await self._behind.list(Project)).items, (await self._behind.list(GpuNode)).items
        admission.check_submission(workload, projects, nodes, (await self._behind.list(NodePool)).items)

    async def delete(self, obj: T) -> None:
        if isinstance(obj, Project):
            await self._remove(obj)
            return
        await self.check_removal(obj)
        await self._behind.delete(obj)

    async def check_removal(self, obj: Object) -> None:
        """Raises Conflict where others still need the object."""
        if isinstance(obj, Project):
            admission.check_removal(obj, (await self._behind.list(Workload, obj.meta.name)).items)
        if isinstance(obj, Department):
            admission.check_department_removal(obj, (await self._behind.list(Project)).items)
        if isinstance(obj, NodePool):
            queues: list[Project | Department] = [*(await self._behind.list(Project)).items]
            queues += (await self._behind.list(Department)).items
            admission.check_pool_removal(obj, (await self._behind.list(GpuNode)).items, queues)

    async def _submit(self, workload: Workload) -> Workload:
        """Concurrent; `_arriving` and `_leaving` keep workloads out of a project that is being deleted."""
        project = workload.meta.project
        if project in self._leaving:
            raise Conflict(f"project {project!r} is being deleted", hint="choose another project")
        self._arriving[project] += 1
        try:
            await self.check(workload)
            return await self._behind.create(replace(workload, spec=admission.ranked(workload.spec)))
        finally:
            self._arriving[project] -= 1

    async def _remove(self, project: Project) -> None:
        name = project.meta.name
        if self._arriving[name]:
            raise Conflict(f"a workload is just being submitted to project {name!r}", hint="try again in a moment")
        self._leaving.add(name)
        try:
            await self.check_removal(project)
            await self._behind.delete(project)
        finally:
            self._leaving.discard(name)

    async def _pools(self, nodes: Iterable[GpuNode]) -> set[str]:
        """The pools there are; none while no node is known."""
        known = tuple(nodes)
        return node_pools.names(known, (await self._behind.list(NodePool)).items) if known else set()

    async def check_write(self, before: Object | None, after: Object) -> None:
        """Raises the admission errors that changing an object would, or creating one that is no workload."""
        if isinstance(after, NodePool):
            admission.check_node_pool(after)
        if isinstance(before, GpuNode) and isinstance(after, GpuNode) and before.spec.pool != after.spec.pool:
            nodes, pools = await self._behind.list(GpuNode), await self._behind.list(NodePool)
            admission.check_node(before, after, node_pools.names(nodes.items, pools.items))
        if isinstance(before, Workload) and isinstance(after, Workload):
            admission.check_change(before, after)
        await self._check_queue(before, after)

    async def _check_queue(self, before: Object | None, after: Object) -> None:
        """The rules of a project or department; before: what is stored, None for nothing."""
        if isinstance(after, Project):
            admission.check_project(after)
        elif isinstance(after, Department):
            admission.check_department(after)
        else:
            return
        known = before if isinstance(before, Project | Department) else None
        if known is not None and known.spec == after.spec:
            return
        departments = {department.meta.name for department in (await self._behind.list(Department)).items}
        pools = await self._pools((await self._behind.list(GpuNode)).items)
        admission.check_neighbours(known, after, departments, pools)
