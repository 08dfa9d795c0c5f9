"""What the routes stand on: the control plane as the caller may use it, and what he may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from migctl.access.authorized import AuthorizedControlPlane
from migctl.access.caller import Caller, Place, Rights
from migctl.access.rights import Verb
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


class RoutesService(Protocol):
    """What stands behind the routes: one machine (ApiService), or a cluster (migctl/cluster_api)."""

    @property
    def view(self) -> ObjectView:
        """All cached objects. What a caller sees of them is his door's `seen`."""
        ...

    @property
    def runtime(self) -> WorkloadRuntime: ...

    @property
    def cluster(self) -> ClusterIdentity: ...

    @property
    def clock(self) -> Clock: ...

    async def door(self, request: Request) -> CallersService:
        """The service for the caller of a request. Raises Unauthenticated, and Unavailable where nobody can tell."""
        ...


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

    async def door(self, request: Request) -> CallersService:
        """The service for the caller of a request. Raises Unauthenticated."""
        caller = await self.authenticate(request)
        rights = Rights(caller, self._department_of)
        control = AuthorizedControlPlane(self.control_plane, self.view, rights)
        return CallersService(self, caller, rights, control, VisibleObjects(self.view, rights))

    def _department_of(self, name: str) -> str:
        project = self.view.get(Project, name)
        return (project.spec.department or "") if project is not None else ""


@dataclass(frozen=True, slots=True)
class CallersService:
    """The service as the caller of one request may use it.

    rights   what is known of them without asking anybody; `may` asks
    control  raises Forbidden for what he may not do
    seen     the cached objects that he may see
    """

    service: RoutesService
    caller: Caller
    rights: Rights
    control: ControlPlane
    seen: VisibleObjects

    async def may(self, verb: Verb, resource: str, project: str = "") -> bool:
        """Whether he may do this to objects of a kind (its plural name), to his own ones at least.

        On a cluster its API server is asked. Raises Unavailable where that does not answer.
        """
        place = Place(project, self.rights.department_of(project) if project else "")
        return await self.rights.allows(verb, resource, place)


async def _callers_service(request: Request) -> CallersService:
    return await cast("RoutesService", request.app.state.service).door(request)


Door = Annotated[CallersService, Depends(_callers_service)]
"""What every route takes: the service, for the caller of this request."""
