"""What makes up the REST API of a cluster, wired together.

ClusterView (live copy, by our own service account) -> what a caller sees of it; Reviews -> what he may
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from migctl.backends.kubernetes.cache.reflector import DEFAULT_TIMING, Timing
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.transport import Transport, without_credentials
from migctl.backends.kubernetes.overview.changes import ViewChanges
from migctl.backends.kubernetes.overview.view import ClusterView
from migctl.clock import Clock
from migctl.cluster_api.reviews import KEPT_S, Reviews
from migctl.cluster_api.rights import Readers
from migctl.cluster_api.service import ClusterApiService
from migctl.objects import Project

CALLERS_CONNECTIONS = 256
"""To the API server, for all callers together; open log streams take one each."""


@dataclass(frozen=True, slots=True)
class ClusterApiSettings:
    """Of one process.

    name       of the cluster, for people
    audiences  a token must be for one of them; none: for the API server
    kept_s     how long an answer of the API server about somebody counts
    """

    name: str = "cluster"
    audiences: tuple[str, ...] = ()
    kept_s: float = KEPT_S
    watches: Timing = DEFAULT_TIMING


@contextlib.asynccontextmanager
async def cluster_service(
    transport: Transport,
    clock: Clock,
    settings: ClusterApiSettings,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[ClusterApiService]:
    """The service, and the connections that it makes for callers. Its view is the caller's to run."""
    api = KubernetesApi(transport)
    view = ClusterView(api, settings.watches, monotonic)
    reviews = Reviews(api, settings.audiences, settings.kept_s, monotonic)
    readers = Readers(reviews, lambda: (project.meta.name for project in view.all(Project)), monotonic)
    async with Transport(without_credentials(transport.access), connections=CALLERS_CONNECTIONS) as callers:
        yield ClusterApiService(view, ViewChanges(view), reviews, readers, callers, settings.name, clock)
