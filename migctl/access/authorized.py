"""The control plane as one caller may use it. Every door that is not the machine owner's own socket goes through it.

A denial is Forbidden, in words that do not tell whether the object exists.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from msgspec.structs import replace

from migctl.access.caller import Place, Rights, place_of, refused
from migctl.access.ending import never_ended, while_allowed
from migctl.access.hidden_names import told
from migctl.access.rights import Reach, Verb
from migctl.access.visible import VisibleObjects
from migctl.backends.merge import merged
from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import Change, ControlPlane, ControlPlaneError, Forbidden, Listing, NotFound
from migctl.objects import AccessRule, AccessToken, AccessTokenStatus, Department, Object, Project, Role, T, Workload


class AuthorizedControlPlane:
    """A ControlPlane in front of another one, for one caller.

    view   the cached objects: projects say which department they are in
    ended  waits until the caller has not what `rights` says any more, and why his streams end
    """

    def __init__(
        self,
        behind: ControlPlane,
        view: ObjectView,
        rights: Rights,
        ended: Callable[[], Awaitable[ControlPlaneError]] = never_ended,
    ) -> None:
        self._behind = behind
        self._view = view
        self._rights = rights
        self._ended = ended
        self._seen = VisibleObjects(view, rights)

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        if project:
            self._rights.require(Verb.READ, kind.PLURAL, self._project(project))
        listing = await self._behind.list(kind, project)
        return Listing(tuple(self._told(obj) for obj in listing.items if self._seen.sees(obj)), listing.version)

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        return self._told(await self._stored(Verb.READ, kind, name, project))

    async def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        async for change in while_allowed(self._behind.watch(kind, since), self._ended):
            seen = VisibleObjects(self._view, self._rights)  # projects come, go, and change departments meanwhile
            if seen.sees(change.object):
                yield Change(change.type, told(change.object, self._view, seen, self._rights.caller.user))

    async def create(self, obj: T) -> T:
        self._rights.require(Verb.CREATE, obj.PLURAL, place_of(obj, self._rights.department_of))
        if isinstance(obj, AccessRule | AccessToken):
            self._check_given(obj)
        return await self._absorbed(await self._behind.create(self._signed(obj)))

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        stored = await self._stored(Verb.UPDATE, type(obj), obj.meta.name, obj.meta.project)
        if not self._is_admin and (strange := set(changes) - {"spec"}):
            raise Forbidden(f"you may change the spec, not {', '.join(sorted(strange))}")
        wanted = merged(stored, changes)
        if not self._rights.may(Verb.UPDATE, wanted):
            raise self._refused(Verb.UPDATE, stored)
        if isinstance(wanted, Workload) and isinstance(stored, Workload) and wanted.spec.user != stored.spec.user:
            raise Forbidden("a workload stays its user's")
        if isinstance(wanted, Project) and isinstance(stored, Project):
            await self._check_quota(stored, wanted)
        return await self._absorbed(await self._behind.patch(obj, changes, fenced=fenced))

    async def delete(self, obj: T) -> None:
        await self._stored(Verb.DELETE, type(obj), obj.meta.name, obj.meta.project)
        await self._behind.delete(obj)

    @property
    def _is_admin(self) -> bool:
        return any(access.role is Role.ADMIN for access in self._rights.caller.access)

    async def _absorbed(self, written: T) -> T:
        """What was written, which the caller's next list shows."""
        await self._view.absorb(written)
        return self._told(written)

    def _told(self, obj: T) -> T:
        """For one request: what is seen changes meanwhile for a watch only."""
        return told(obj, self._view, self._seen, self._rights.caller.user)

    def _place(self, kind: type[T], name: str, project: str) -> Place:
        if kind is Department:
            return Place(department=name)
        name = name if kind is Project else project
        return self._project(name) if name else Place()

    def _project(self, name: str) -> Place:
        return Place(name, self._rights.department_of(name))

    async def _stored(self, verb: Verb, kind: type[T], name: str, project: str) -> T:
        """The object as it is stored, where he may do this to it.

        Where he may not read it, he is told the same whether or not it exists.
        """
        place = self._place(kind, name, project)
        if project or kind in (Project, Department):
            self._rights.require(verb, kind.PLURAL, place)
        try:
            stored = await self._behind.get(kind, name, project)
        except NotFound:
            if self._rights.reach(Verb.READ, kind.PLURAL, place) is Reach.NOTHING:
                raise refused(verb, kind.PLURAL, place) from None
            raise
        if not self._seen.sees(stored):
            raise refused(verb, kind.PLURAL, place)
        if not self._rights.may(verb, stored):
            raise self._refused(verb, stored)
        return stored

    def _refused(self, verb: Verb, obj: Object) -> Forbidden:
        place = place_of(obj, self._rights.department_of)
        if self._rights.reach(verb, obj.PLURAL, place) is Reach.OWN and isinstance(obj, Workload):
            return Forbidden(
                f"you may {verb} your own workloads in project {place.project!r}; "
                f"{obj.meta.name!r} is {obj.spec.user or 'nobody'}'s",
                hint="a project-admin may do it",
            )
        return refused(verb, obj.PLURAL, place)

    def _signed(self, obj: T) -> T:
        """A workload is its sender's, and who gives access is told by it."""
        user = self._rights.caller.user
        match obj:
            case Workload():
                return replace(obj, spec=replace(obj.spec, user=user))
            case AccessRule():
                return replace(obj, spec=replace(obj.spec, granted_by=user))
            case AccessToken():
                return replace(obj, spec=replace(obj.spec, created_by=user), status=AccessTokenStatus())
        return obj

    def _check_given(self, obj: AccessRule | AccessToken) -> None:
        if not self._rights.covers_all(obj.spec.access):
            raise Forbidden("you may give no more than you have", hint="ask an admin")

    async def _check_quota(self, before: Project, after: Project) -> None:
        """A lead may divide what the department has; without that, an admin decides."""
        if before.spec == after.spec or self._rights.reach(
            Verb.CREATE, Project.PLURAL, self._project(before.meta.name)
        ):
            return
        if before.spec.department != after.spec.department or not before.spec.department:
            raise Forbidden("the quota of a project without a department is changed by an admin")
        department = await self._behind.get(Department, before.spec.department)
        if department.spec.quota is None:
            raise Forbidden(f"department {department.meta.name!r} has no quota: an admin changes its projects' quotas")
        projects = (await self._behind.list(Project)).items
        others = sum(
            other.spec.quota
            for other in projects
            if other.spec.department == department.meta.name and other.meta.name != after.meta.name
        )
        if after.spec.pools != before.spec.pools or after.spec.priority != before.spec.priority:
            raise Forbidden("a project-admin may change quota, limit and weight; an admin changes the rest")
        if after.spec.quota < 0 or others + after.spec.quota > department.spec.quota:
            raise Forbidden(
                f"department {department.meta.name!r} has {department.spec.quota:g} GPUs, {others:g} of them are "
                f"other projects'",
                hint=f"at most {max(0.0, department.spec.quota - others):g}",
            )
