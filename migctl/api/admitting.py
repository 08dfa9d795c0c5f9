"""The control plane with admission: every user's write is checked first."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from migctl import admission, node_pools
from migctl.access import giving
from migctl.access.caller import APP
from migctl.backends.merge import merged
from migctl.backends.protocol import Change, Conflict, ControlPlane, Invalid, Listing, NotFound
from migctl.clock import Clock, system_clock
from migctl.objects import (
    AccessRule,
    AccessToken,
    Department,
    GpuNode,
    NodePool,
    Object,
    Project,
    T,
    Workload,
    singular,
)

Queue = TypeVar("Queue", Project, Department)
Given = TypeVar("Given", AccessRule, AccessToken)


class AdmittingControlPlane:
    """A ControlPlane in front of another one that checks every write."""

    def __init__(self, behind: ControlPlane, clock: Clock = system_clock) -> None:
        self._behind = behind
        self._clock = clock
        self._arriving: Counter[tuple[type[Object], str]] = Counter()
        self._leaving: set[tuple[type[Object], str]] = set()

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        return await self._behind.list(kind, project)

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        return await self._behind.get(kind, name, project)

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        return self._behind.watch(kind, since)

    async def create(self, obj: T) -> T:
        if isinstance(obj, Workload):
            return await self._submit(obj)
        if isinstance(obj, AccessRule | AccessToken):
            return await self._give(obj)
        await self.check_write(None, obj)
        return await self._behind.create(obj)

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        if isinstance(obj, AccessRule | AccessToken):
            raise Invalid("access is not changed", hint="delete it and create another one")
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
        if isinstance(obj, Project | Department):
            await self._remove(obj)
            return
        await self.check_removal(obj)
        if isinstance(obj, AccessToken):
            for rule in (await self._behind.list(AccessRule)).items:
                if rule.spec.user == APP + obj.meta.name:
                    await self._discard(rule)
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
        with self._entering(Project, workload.meta.project):
            await self.check(workload)
            return await self._behind.create(replace(workload, spec=admission.ranked(workload.spec)))

    async def _give(self, obj: Given) -> Given:
        scope = obj.spec.access.scope
        with self._entering(Project, scope.project), self._entering(Department, scope.department):
            admission.check_name(obj.meta.name)
            projects, departments = await self._behind.list(Project), await self._behind.list(Department)
            giving.check(obj, _names(projects.items), _names(departments.items), self._clock())
            return await self._behind.create(obj)

    @contextlib.contextmanager
    def _entering(self, kind: type[Project | Department], name: str) -> Iterator[None]:
        """Concurrent; `_arriving` and `_leaving` keep what comes out of a queue that is being deleted."""
        key = (kind, name)
        if key in self._leaving:
            raise Conflict(f"{singular(kind)} {name!r} is being deleted", hint=f"choose another {singular(kind)}")
        self._arriving[key] += 1
        try:
            yield
        finally:
            self._arriving[key] -= 1
            if not self._arriving[key]:
                del self._arriving[key]

    async def _remove(self, queue: Queue) -> None:
        key = (type(queue), queue.meta.name)
        if self._arriving[key]:
            raise Conflict(
                f"something is just being submitted to {singular(type(queue))} {queue.meta.name!r}",
                hint="try again in a moment",
            )
        self._leaving.add(key)
        try:
            await self.check_removal(queue)
            await self.take_back(queue)
            await self._behind.delete(queue)
        finally:
            self._leaving.discard(key)

    async def take_back(self, queue: Project | Department) -> None:
        """Delete the roles and tokens in a queue before the queue: they must not count in a later one of its name."""
        rules, tokens = await self._behind.list(AccessRule), await self._behind.list(AccessToken)
        every: list[AccessRule | AccessToken] = [*rules.items, *tokens.items]
        for given in every:
            scope = given.spec.access.scope
            if queue.meta.name == (scope.project if isinstance(queue, Project) else scope.department):
                await self._discard(given)

    async def _discard(self, given: AccessRule | AccessToken) -> None:
        with contextlib.suppress(NotFound):
            if isinstance(given, AccessRule):
                await self._behind.delete(given)
            else:
                await self._behind.delete(given)

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


def _names(queues: Iterable[Project] | Iterable[Department]) -> set[str]:
    return {queue.meta.name for queue in queues}
