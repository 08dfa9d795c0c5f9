"""What the routes stand on: the control plane as the caller may use it, and what he may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from migctl.access.authorized import AuthorizedControlPlane
from migctl.access.caller import Caller, Rights
from migctl.access.visible import VisibleObjects
from migctl.backends.http.runtime import WorkloadRuntime
from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import ControlPlane
from migctl.clock import Clock
from migctl.objects import Project


class Authenticator(Protocol):
    """Tells who a request is from."""

    async def __call__(self, request: Request) -> Caller:
        """Raises Unauthenticated."""
        ...


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """The one cluster that this API serves. uid: a UUID that stays."""

    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class ApiService:
    """One machine's control plane behind the API.

    control_plane  with admission in front, for callers who may do everything
    view           all cached objects
    """

    control_plane: ControlPlane
    view: ObjectView
    runtime: WorkloadRuntime
    cluster: ClusterIdentity
    authenticate: Authenticator
    clock: Clock

    def rights(self, caller: Caller) -> Rights:
        """What the caller may do."""
        return Rights(caller, self._department_of)

    def _department_of(self, name: str) -> str:
        project = self.view.get(Project, name)
        return (project.spec.department or "") if project is not None else ""


@dataclass(frozen=True, slots=True)
class CallersService:
    """The service as the caller of one request may use it.

    control  raises Forbidden for what he may not do
    seen     the cached objects that he may see
    """

    service: ApiService
    caller: Caller
    rights: Rights
    control: ControlPlane
    seen: VisibleObjects


async def _callers_service(request: Request) -> CallersService:
    service = cast("ApiService", request.app.state.service)
    caller = await service.authenticate(request)
    rights = service.rights(caller)
    return CallersService(
        service,
        caller,
        rights,
        AuthorizedControlPlane(service.control_plane, service.view, rights),
        VisibleObjects(service.view, rights),
    )


Door = Annotated[CallersService, Depends(_callers_service)]
"""What every route takes: the service, for the caller of this request."""
