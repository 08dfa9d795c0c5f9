"""What the routes of migctl/api/v1 stand on, where a cluster is behind them."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from migctl.access.caller import Caller
from migctl.api.v1.errors import Unauthenticated
from migctl.api.v1.service import CallersService, ClusterIdentity
from migctl.backends.http.runtime import WorkloadRuntime
from migctl.backends.kubernetes.client.transport import CallersTransport, Transport
from migctl.backends.kubernetes.overview.changes import ViewChanges
from migctl.backends.kubernetes.overview.view import ClusterView
from migctl.backends.kubernetes.user.claims import UserClaims
from migctl.backends.kubernetes.user.control_plane import user_control_plane
from migctl.backends.kubernetes.user.manifests import user_label
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.kubernetes.user.workload_store import WorkloadStore
from migctl.backends.protocol import Unavailable
from migctl.clock import Clock
from migctl.cluster_api.control_plane import CallersControlPlane
from migctl.cluster_api.reviews import HINT, SERVICE_ACCOUNT, KubernetesIdentity, Reviews
from migctl.cluster_api.rights import ClusterRights, Readers
from migctl.cluster_api.runtime import CallersRuntime
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
        return await self.callers_door(who, request.client.host if request.client else "")

    async def callers_door(self, who: KubernetesIdentity, origin: str) -> CallersService:
        """The service for somebody. Raises Unavailable."""
        caller = caller_of(who, origin)
        rights = ClusterRights(caller, self.department_of, who, await self.readers.readable(who), self.readers)
        api = PermittedApi(CallersTransport(self.callers, who.token))
        workloads = WorkloadStore(api, UserClaims(api))
        control = CallersControlPlane(user_control_plane(api, workloads), self.view, self.changes, rights)
        service = _ServiceOfCaller(self, CallersRuntime(api, workloads))
        return CallersService(service, caller, rights, control, VisibleInCluster(self.view, rights))

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

    async def door(self, request: Request) -> CallersService:
        return await self.behind.door(request)


def caller_of(who: KubernetesIdentity, origin: str) -> Caller:
    """The caller that somebody is; his workloads have his name as a label, so it is what a label can be."""
    account = who.name.removeprefix(SERVICE_ACCOUNT)
    through = f"service account {account.replace(':', '/')}" if account != who.name else f"a token of {who.name}"
    return Caller(user_label(who.name), (), through, origin, who.expires)
