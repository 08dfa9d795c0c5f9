"""What one caller may do on a cluster, as its API server answered.

What he may read is asked when his request comes, and again for open streams; anything else when it is asked for.
Writes are decided by the API server, which gets them with his own token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from migctl.access.caller import Caller, DepartmentOf, Place, Rights
from migctl.access.rights import Reach, Verb
from migctl.backends.protocol import Forbidden
from migctl.cluster_api.answers import KeptAnswers
from migctl.cluster_api.permissions import NAMESPACED, NODES, OURS, READ_EVERYWHERE, READ_IN_PROJECTS, TABLE
from migctl.cluster_api.reviews import KubernetesIdentity, Reviews
from migctl.objects import Object

MAX_READERS = 2048
AT_A_TIME = 16
"""Questions that are asked for one caller at the same time."""


@dataclass(frozen=True)
class Readable:
    """What somebody may read. kinds: by plural name, everywhere; in_projects: by plural name and project."""

    kinds: frozenset[str]
    in_projects: frozenset[tuple[str, str]]
    nodes: bool
    """Kubernetes' own nodes."""

    def __contains__(self, where: tuple[str, str]) -> bool:
        plural, project = where
        return plural in self.kinds or (bool(project) and where in self.in_projects)


class Readers:
    """What callers may read, asked of the API server: of all namespaces at once, or else of each project's.

    projects  the names of all projects now
    """

    def __init__(
        self, reviews: Reviews, projects: Callable[[], Iterable[str]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._reviews = reviews
        self._projects = projects
        self.kept: KeptAnswers[Readable] = KeptAnswers(reviews.kept_s / 2, MAX_READERS, 64, monotonic)

    async def readable(self, who: KubernetesIdentity) -> Readable:
        """Raises Unavailable."""
        names = frozenset(self._projects())
        return await self.kept.of((who.subject, names), lambda: self._ask(who, names))

    async def allows(self, who: KubernetesIdentity, verb: Verb, resource: str, project: str) -> bool:
        """Whether he may do this there; first, whether he may everywhere."""
        if (verb, resource) not in TABLE:
            return False
        namespace = project if resource in NAMESPACED else ""
        return await self._has(who, verb, resource, "") or (
            bool(namespace) and await self._has(who, verb, resource, namespace)
        )

    def exists(self, project: str) -> bool:
        """Whether there is such a project."""
        return project in self._projects()

    async def allows_some(self, who: KubernetesIdentity, verb: Verb, resource: str, project: str) -> bool:
        """Whether he has one of the permissions that it may take: workloads are objects of several kinds."""
        namespaces = ("", project) if project and resource in NAMESPACED else ("",)
        for permission in TABLE.get((verb, resource), ()):
            for namespace in namespaces:
                if await self._reviews.allows(who, permission, namespace):
                    return True
        return False

    async def _ask(self, who: KubernetesIdentity, projects: frozenset[str]) -> Readable:
        kinds = (*READ_EVERYWHERE, *READ_IN_PROJECTS)
        nodes, *answers = await asyncio.gather(
            self._reviews.allows(who, NODES), *(self._has(who, verb, plural, "") for verb, plural in kinds)
        )
        everywhere = frozenset(plural for (_, plural), yes in zip(kinds, answers, strict=True) if yes)
        local = [
            (verb, plural, project)
            for verb, plural in READ_IN_PROJECTS
            if plural not in everywhere
            for project in sorted(projects)
        ]
        turns = asyncio.Semaphore(AT_A_TIME)

        async def has(verb: Verb, plural: str, project: str) -> bool:
            async with turns:
                return await self._has(who, verb, plural, project)

        found = await asyncio.gather(*(has(*one) for one in local))
        return Readable(
            everywhere,
            frozenset((plural, project) for (_, plural, project), yes in zip(local, found, strict=True) if yes),
            nodes,
        )

    async def _has(self, who: KubernetesIdentity, verb: Verb, resource: str, namespace: str) -> bool:
        """Whether he has all permissions that it takes; the rest is not asked after the first that he has not."""
        for permission in TABLE[verb, resource]:
            if not await self._reviews.allows(who, permission, namespace):
                return False
        return True


class ClusterRights(Rights):
    """Rights that the API server gave. Without asking, only what may be read is known; all else is not allowed."""

    def __init__(
        self,
        caller: Caller,
        department_of: DepartmentOf,
        who: KubernetesIdentity,
        readable: Readable,
        readers: Readers,
    ) -> None:
        super().__init__(caller, department_of)
        self._who = who
        self._readable = readable
        self._readers = readers

    @property
    def readable(self) -> Readable:
        """What he may read."""
        return self._readable

    @property
    def sees_nodes(self) -> bool:
        """Whether he may see Kubernetes' own nodes."""
        return self._readable.nodes

    def reach(self, verb: Verb, resource: str, place: Place) -> Reach:
        where = (resource, place.project if resource in NAMESPACED else "")
        return Reach.ALL if verb is Verb.READ and where in self._readable else Reach.NOTHING

    async def allows(self, verb: Verb, resource: str, place: Place) -> bool:
        return await self._readers.allows(self._who, verb, resource, place.project)

    def may(self, verb: Verb, obj: Object) -> bool:
        return self.reach(verb, obj.PLURAL, Place(obj.meta.project)) is Reach.ALL

    def require(self, verb: Verb, resource: str, place: Place) -> None:
        if self.reach(verb, resource, place) is Reach.NOTHING:
            raise not_allowed(self._who.name, verb, resource, place.project if resource in NAMESPACED else "")

    async def require_some(self, verb: Verb, resource: str, project: str) -> None:
        """Raises Forbidden where the API server would refuse it whatever the object is."""
        if not await self._readers.allows_some(self._who, verb, resource, project):
            raise not_allowed(self._who.name, verb, resource, project)

    async def renewed(self) -> ClusterRights:
        """The same rights, as they are now: what open streams ask. Raises Unavailable."""
        readable = await self._readers.readable(self._who)
        return self if readable is self._readable else self._with(readable)

    def covers(self, before: ClusterRights) -> bool:
        """Whether these rights are no less than those before, in projects that still exist."""
        now, then = self._readable, before._readable
        left = {(plural, name) for plural, name in then.in_projects if self._readers.exists(name)}
        return now.kinds >= then.kinds and now.nodes >= then.nodes and all(where in now for where in left)

    def _with(self, readable: Readable) -> ClusterRights:
        return ClusterRights(self.caller, self.department_of, self._who, readable, self._readers)


def not_allowed(user: str, verb: Verb, resource: str, project: str) -> Forbidden:
    """That the cluster does not allow it, whether or not the thing exists, and who could change that."""
    if project:
        role = "view" if verb is Verb.READ else "edit"
        grant = f"kubectl create rolebinding NAME -n {project} --clusterrole={role} --user={user}"
        return Forbidden(
            f"you may not {verb} {resource} in project {project!r}", hint=f"an admin of it can allow it: {grant}"
        )
    role = "migctl-overview" if verb is Verb.READ and resource in OURS else "migctl-admin"
    grant = f"kubectl create clusterrolebinding NAME --clusterrole={role} --user={user}"
    return Forbidden(f"you may not {verb} {resource}", hint=f"an admin of the cluster can allow it: {grant}")
