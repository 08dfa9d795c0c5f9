"""The control plane as users may write it: every write passes admission first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from msgspec.structs import replace

from migctl import admission
from migctl.backends.merge import merged
from migctl.backends.protocol import Change, ControlPlane, Listing
from migctl.objects import Node, Project, T, Workload
from solver.model.geometry import GpuModel


class AdmittingControlPlane:
    """A ControlPlane before another one. Writes of workloads and projects wait for each other.

    So the rules hold between them too: no workload comes into a project that is going.
    """

    def __init__(self, behind: ControlPlane) -> None:
        self._behind = behind
        self._turn = asyncio.Lock()

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        return await self._behind.list(kind, project)

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        return await self._behind.get(kind, name, project)

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        return self._behind.watch(kind, since)

    async def create(self, obj: T) -> T:
        if isinstance(obj, Workload):
            async with self._turn:
                return await self._submit(obj)
        if isinstance(obj, Project):
            admission.check_project(obj)
        return await self._behind.create(obj)

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        if not isinstance(obj, Workload | Project):
            return await self._behind.patch(obj, changes, fenced=fenced)
        async with self._turn:
            stored = await self._behind.get(type(obj), obj.meta.name, obj.meta.project)
            _check_change(stored, merged(stored, changes))
            return await self._behind.patch(obj, changes, fenced=fenced)

    async def delete(self, obj: T) -> None:
        async with self._turn:
            if isinstance(obj, Project):
                admission.check_removal(obj, (await self._behind.list(Workload, obj.meta.name)).items)
            await self._behind.delete(obj)

    async def _submit(self, workload: Workload) -> Workload:
        projects = (await self._behind.list(Project)).items
        admission.check(workload, projects, await self._models())
        return await self._behind.create(replace(workload, spec=admission.ranked(workload.spec)))

    async def _models(self) -> tuple[GpuModel, ...]:
        """The GPU models that nodes have reported."""
        reports = [node.status.report for node in (await self._behind.list(Node)).items]
        return tuple({id: model for report in reports if report for id, model in report.models.items()}.values())


def _check_change(before: Workload | Project, after: Workload | Project) -> None:
    if isinstance(before, Workload) and isinstance(after, Workload):
        admission.check_change(before, after)
    if isinstance(after, Project):
        admission.check_project(after)
