"""A control plane that writes each change, and each refusal of one, into the audit trail."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from migctl.access.audit.trail import AuditEntry, AuditTrail
from migctl.access.caller import Caller, DepartmentOf, place_of
from migctl.backends.http.wire import error_status
from migctl.backends.protocol import Change, ControlPlane, ControlPlaneError, Listing
from migctl.objects import Object, T


@dataclass
class _Outcome:
    status: int
    uid: str


class AuditedControlPlane:
    """A ControlPlane in front of another one, for one caller's request.

    request  its id
    """

    def __init__(
        self, behind: ControlPlane, trail: AuditTrail, caller: Caller, department_of: DepartmentOf, request: str
    ) -> None:
        self._behind = behind
        self._trail = trail
        self._caller = caller
        self._department_of = department_of
        self._request = request

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        return await self._behind.list(kind, project)

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        return await self._behind.get(kind, name, project)

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        return self._behind.watch(kind, since)

    async def create(self, obj: T) -> T:
        with self._recorded("create", obj) as outcome:
            outcome.status = 201
            created = await self._behind.create(obj)
            outcome.uid = created.meta.uid
            return created

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        with self._recorded("update", obj):
            return await self._behind.patch(obj, changes, fenced=fenced)

    async def delete(self, obj: T) -> None:
        with self._recorded("delete", obj):
            await self._behind.delete(obj)

    @contextlib.contextmanager
    def _recorded(self, verb: str, obj: Object) -> Iterator[_Outcome]:
        outcome, message = _Outcome(200, obj.meta.uid), ""
        try:
            yield outcome
        except ControlPlaneError as error:
            outcome.status, message = error_status(error), str(error)
            raise
        except BaseException as error:
            outcome.status, message = 500, type(error).__name__
            raise
        finally:
            place = place_of(obj, self._department_of)
            self._trail.record(
                AuditEntry(
                    time=self._trail.now(),
                    user=self._caller.user,
                    through=self._caller.through,
                    origin=self._caller.origin,
                    verb=verb,
                    kind=obj.PLURAL,
                    project=place.project,
                    department=place.department,
                    name=obj.meta.name,
                    uid=outcome.uid,
                    status=outcome.status,
                    message=message,
                    request=self._request,
                )
            )
