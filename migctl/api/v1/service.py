"""What the routes stand on: the control plane as the caller may use it, and what he may see."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from migctl.access.audit.audited import AuditedControlPlane
from migctl.access.audit.trail import AuditEntry, AuditTrail
from migctl.access.authorized import AuthorizedControlPlane
from migctl.access.caller import Caller, Place, Rights
from migctl.access.ending import Ended, never_ended
from migctl.access.hidden_names import masked
from migctl.access.identity.sign_in import Issued
from migctl.access.rights import Verb
from migctl.access.visible import VisibleObjects
from migctl.api.doors import request_id
from migctl.backends.http.runtime import WorkloadRuntime
from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import ControlPlane, ControlPlaneError
from migctl.clock import Clock
from migctl.objects import Project, RoleInScope, Workload, WorkloadVerdict
from solver.model.reasons import Unplaced

Sees = Callable[[str], bool]
"""Whether a caller sees what is in the project of this name; what he does not is not named to him."""


class LivePlanner(Protocol):
    """Says what the planner would do with the state of this moment. Nothing is written."""

    async def __call__(self, workload: Workload, sees: Sees) -> WorkloadVerdict:
        """What would become of a workload. Raises what admission refuses it for, and Unavailable."""
        ...

    async def unplaced(self, claims: Collection[str], sees: Sees) -> Mapping[str, Unplaced]:
        """Why these claims have no place; nothing for those that have one. Raises Unavailable."""
        ...


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


class TokenExchange(Protocol):
    """Gives a short-lived token for a program's secret."""

    async def exchange(self, name: str, secret: str, address: str) -> Issued:
        """Raises Unauthenticated, RateLimited, Unavailable."""
        ...


async def _never(_: Caller) -> ControlPlaneError:
    return await never_ended()


@dataclass(frozen=True, slots=True)
class Identification:
    """How callers sign in, and how long they stay.

    exchange   None: no program can sign in here
    ended      waits until a caller has not what he came with any more
    link       where a browser signs in, with a link for a user that works once; None: nowhere
    rotate     signs with a new key from now on; None: there is none
    """

    exchange: TokenExchange | None = None
    ended: Callable[[Caller], Awaitable[ControlPlaneError]] = _never
    link: Callable[[str, tuple[RoleInScope, ...]], str] | None = None
    rotate: Callable[[], None] | None = None


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

    @property
    def identity(self) -> Identification: ...

    @property
    def trail(self) -> AuditTrail | None: ...

    @property
    def control_plane(self) -> ControlPlane | None:
        """Where the kinds are that the view has not, for all callers; None: they are read with a caller's own right."""
        ...

    @property
    def planner(self) -> LivePlanner | None:
        """Says what would become of what; None: nobody does here."""
        ...

    async def door(self, request: Request) -> CallersService:
        """The service for the caller of a request. Raises Unauthenticated, and Unavailable where nobody can tell."""
        ...


@dataclass(frozen=True, slots=True)
class ApiService:
    """One machine's control plane behind the API.

    control_plane  with admission in front, for callers who may do everything
    view           all cached objects
    trail          where writes are told; None: nowhere
    planner        says what would become of what; None: nobody does here
    """

    control_plane: ControlPlane
    view: ObjectView
    runtime: WorkloadRuntime
    cluster: ClusterIdentity
    authenticate: Authenticator
    clock: Clock
    identity: Identification = Identification()
    trail: AuditTrail | None = None
    planner: LivePlanner | None = None

    async def door(self, request: Request) -> CallersService:
        """The service for the caller of a request. Raises Unauthenticated."""
        caller, request_name = await self.authenticate(request), request_id(request)
        rights = Rights(caller, self.department_of)
        ended = functools.partial(self.identity.ended, caller)
        control: ControlPlane = AuthorizedControlPlane(self.control_plane, self.view, rights, ended)
        if self.trail is not None:
            control = AuditedControlPlane(control, self.trail, caller, self.department_of, request_name)
        seen = VisibleObjects(self.view, rights)
        return CallersService(self, caller, rights, control, seen, ended, request_name)

    def department_of(self, name: str) -> str:
        """The department of a project, "" for none."""
        project = self.view.get(Project, name)
        return (project.spec.department or "") if project is not None else ""


@dataclass(frozen=True, slots=True)
class CallersService:
    """The service as the caller of one request may use it.

    rights   what is known of them without asking anybody; `may` asks
    control  raises Forbidden for what he may not do
    seen     the cached objects that he may see
    ended    what ends his streams: migctl.access.ending.while_allowed(source, door.ended)
    """

    service: RoutesService
    caller: Caller
    rights: Rights
    control: ControlPlane
    seen: VisibleObjects
    ended: Ended
    request_id: str

    def record(self, verb: str, kind: str) -> None:
        """Tell a change of what is no stored object in the audit trail."""
        if (trail := self.service.trail) is not None:
            trail.record(
                AuditEntry(
                    time=trail.now(),
                    user=self.caller.user,
                    through=self.caller.through,
                    origin=self.caller.origin,
                    verb=verb,
                    kind=kind,
                    status=200,
                    request=self.request_id,
                )
            )

    def told(self, text: str) -> str:
        """A text that is stored for everybody, without names that the caller may not learn."""
        return masked(text, self.service.view, self.seen, self.caller.user)

    async def may(self, verb: Verb, resource: str, project: str = "") -> bool:
        """Whether he may do this to objects of a kind (its plural name), to his own ones at least.

        On a cluster its API server is asked. Raises Unavailable where that does not answer.
        """
        place = Place(project, self.rights.department_of(project) if project else "")
        return await self.rights.allows(verb, resource, place)


async def _callers_service(request: Request) -> CallersService:
    return await service_of(request).door(request)


def service_of(request: Request) -> RoutesService:
    """The service behind the application that got a request."""
    return cast("RoutesService", request.app.state.service)


Door = Annotated[CallersService, Depends(_callers_service)]
"""What every route takes: the service, for the caller of this request."""
