"""What the routes of migctl/api/v1 stand on, where a cluster is behind them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from fastapi import Request

from migctl.api.doors import request_id
from migctl.api.v1.service import CallersService, ClusterIdentity, Identification
from migctl.backends.http.runtime import WorkloadRuntime
from migctl.backends.kubernetes.client.transport import CallersTransport, Transport
from migctl.backends.kubernetes.overview.changes import ViewChanges
from migctl.backends.kubernetes.overview.view import ClusterView
from migctl.backends.kubernetes.user.claims import UserClaims
from migctl.backends.kubernetes.user.control_plane import user_control_plane
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.kubernetes.user.workload_store import WorkloadStore
from migctl.backends.protocol import Unauthenticated, Unavailable
from migctl.clock import Clock
from migctl.cluster_api.control_plane import CallersControlPlane
from migctl.cluster_api.reviews import HINT, KubernetesIdentity, Reviews
from migctl.cluster_api.rights import ClusterRights, Readers
from migctl.cluster_api.runtime import CallersRuntime
from migctl.cluster_api.sign_in import ClusterSignIn, access_ended, caller_of
from migctl.cluster_api.visible import VisibleInCluster
from migctl.objects import Project

CLUSTER_NAMESPACE = "kube-system"
"""Its uid is the cluster's: it is as old as the cluster, and cannot be deleted."""


@dataclass(frozen=True)
class ClusterApiService:
    """A cluster's control plane behind the API.

    callers  connections to the API server, without credentials: each request has its caller's token
    name     of the cluster, for people
    """

    view: ClusterView
    changes: ViewChanges
    reviews: Reviews
    readers: Readers
    callers: Transport
    name: str
    clock: Clock

    @property
    def identity(self) -> Identification:
        return Identification(exchange=ClusterSignIn(self.reviews, self.clock))

    @property
    def trail(self) -> None:
        """The API server's own audit log tells of writes: they are sent with the caller's token."""
        return

    @property
    def control_plane(self) -> None:
        """Nobody's: events are read with a caller's token; all else is in the view."""
        return

    @property
    def planner(self) -> None:
        """None: `migctl` decides where it runs, on what its user may read; statuses say what the controller decided."""
        return

    @property
    def runtime(self) -> WorkloadRuntime:
        """Nobody's: output is read with a caller's token, so his door has the runtime."""
        raise Unauthenticated("output is read with a caller's token")

    @property
    def cluster(self) -> ClusterIdentity:
        found = self.view.cluster.namespaces.get(CLUSTER_NAMESPACE)
        return ClusterIdentity(found.uid if found is not None else "", self.name)

    async def door(self, request: Request) -> CallersService:
        """The service for who sent a request. Raises Unauthenticated, and Unavailable where nobody says who it is."""
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("a bearer token is needed", hint=HINT)
        who = await self.reviews.identity(credential.strip())
        if not self.view.synced:
            raise Unavailable("the cluster has not been seen yet", hint="try again in a moment")
        return await self.callers_door(who, request.client.host if request.client else "", request_id(request))

    async def callers_door(self, who: KubernetesIdentity, origin: str = "", request_name: str = "") -> CallersService:
        """The service for somebody. Raises Unavailable."""
        caller = caller_of(who, origin)
        rights = ClusterRights(caller, self.department_of, who, await self.readers.readable(who), self.readers)
        ended = functools.partial(access_ended, self.reviews, who, rights)
        api = PermittedApi(CallersTransport(self.callers, who.token))
        workloads = WorkloadStore(api, UserClaims(api))
        control = CallersControlPlane(user_control_plane(api, workloads), self.view, self.changes, rights, ended)
        service = _ServiceOfCaller(self, CallersRuntime(api, workloads, ended))
        seen = VisibleInCluster(self.view, rights)
        return CallersService(service, caller, rights, control, seen, ended, request_name)

    def department_of(self, name: str) -> str:
        """The department of a project, "" for none."""
        project = self.view.get(Project, name)
        return (project.spec.department or "") if project is not None else ""


@dataclass(frozen=True)
class _ServiceOfCaller:
    """The same for one caller: output is read with his token."""

    behind: ClusterApiService
    runtime: WorkloadRuntime

    @property
    def view(self) -> ClusterView:
        return self.behind.view

    @property
    def cluster(self) -> ClusterIdentity:
        return self.behind.cluster

    @property
    def clock(self) -> Clock:
        return self.behind.clock

    @property
    def identity(self) -> Identification:
        return self.behind.identity

    @property
    def trail(self) -> None:
        return None

    @property
    def control_plane(self) -> None:
        return None

    @property
    def planner(self) -> None:
        return self.behind.planner

    async def door(self, request: Request) -> CallersService:
        return await self.behind.door(request)
