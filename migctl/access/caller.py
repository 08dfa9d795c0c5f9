"""Who a request is from, and what he may do where."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from migctl.access.rights import CLUSTER_WIDE, SCOPES, TABLE, Reach, Verb
from migctl.backends.protocol import Forbidden
from migctl.objects import (
    AccessRule,
    AccessScope,
    AccessToken,
    Department,
    Object,
    Project,
    Role,
    RoleInScope,
    Workload,
)

APP = "app:"
"""What the name of a token begins with where a rule is about what comes with that token."""
USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+/=-]{0,252}", re.ASCII)
"""The name of a user."""
EVERYWHERE = AccessScope()
DepartmentOf = Callable[[str], str]
"""The department of a project, "" where it is in none or there is no such project."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from.

    user     his name: workloads that he submits are his
    access   his roles
    through  how he signed in, for people: "the socket", "token ci", "login link"
    origin   where the request came from: an address, or "socket"
    expires  when he has to sign in again; None: never
    token    name and uid of the stored token that he came with, "" for none
    session  of a browser, "" for none
    given    roles that are his whatever access rules say; None: his roles are not of access rules
    """

    user: str
    access: tuple[RoleInScope, ...]
    through: str = ""
    origin: str = ""
    expires: datetime | None = None
    token: str = ""
    session: str = ""
    given: tuple[RoleInScope, ...] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is: in a project, in a department, or, with neither, in none of them."""

    project: str = ""
    department: str = ""


def place_of(obj: Object, department_of: DepartmentOf) -> Place:
    """Where an object is. A project is in itself, and so is a department."""
    match obj:
        case Project():
            return Place(obj.meta.name, obj.spec.department or "")
        case Department():
            return Place(department=obj.meta.name)
        case AccessRule() | AccessToken():
            scope = obj.spec.access.scope
            return Place(scope.project, scope.department or department_of(scope.project))
    return Place(obj.meta.project, department_of(obj.meta.project) if obj.meta.project else "")


class Rights:
    """What one caller may do."""

    def __init__(self, caller: Caller, department_of: DepartmentOf) -> None:
        self.caller = caller
        self.department_of = department_of

    def reach(self, verb: Verb, resource: str, place: Place) -> Reach:
        """How far his right to do this to objects of a kind (its plural name) at a place goes."""
        return max(
            (
                TABLE[access.role].get(resource, {}).get(verb, Reach.NOTHING)
                for access in self.caller.access
                if self._covers(access.scope, verb, resource, place)
            ),
            default=Reach.NOTHING,
        )

    async def allows(self, verb: Verb, resource: str, place: Place) -> bool:
        """Whether he may do this to any object of a kind at a place. Others than these may have to ask for it."""
        return self.reach(verb, resource, place) is not Reach.NOTHING

    def anywhere(self, verb: Verb, resource: str) -> bool:
        """Whether he may do it to something of a kind, somewhere."""
        return any(
            TABLE[access.role].get(resource, {}).get(verb, Reach.NOTHING) is not Reach.NOTHING
            for access in self.caller.access
        )

    def may(self, verb: Verb, obj: Object) -> bool:
        """Whether he may do this to this object."""
        reach = self.reach(verb, obj.PLURAL, place_of(obj, self.department_of))
        return reach is Reach.ALL or (reach is Reach.OWN and self._owns(obj))

    def require(self, verb: Verb, resource: str, place: Place) -> None:
        """Raises Forbidden where he may do it to nothing there, with the same words whether or not it exists."""
        if self.reach(verb, resource, place) is Reach.NOTHING:
            raise refused(verb, resource, place)

    def covers_all(self, given: RoleInScope) -> bool:
        """Whether he has all that a role gives within its scope, and may so give it to others."""
        place = Place(given.scope.project, given.scope.department or self.department_of(given.scope.project))
        return all(
            self.reach(verb, resource, place) >= reach
            for resource, rights in TABLE[given.role].items()
            for verb, reach in rights.items()
            if not (resource in CLUSTER_WIDE or resource == Department.PLURAL)
        )

    def _owns(self, obj: Object) -> bool:
        return isinstance(obj, Workload) and obj.spec.user == self.caller.user

    def _covers(self, scope: AccessScope, verb: Verb, resource: str, place: Place) -> bool:
        if scope == EVERYWHERE or (resource in CLUSTER_WIDE and verb is Verb.READ):
            return True
        if scope.project:
            own = resource == Department.PLURAL and verb is Verb.READ
            return place.project == scope.project or (
                own and bool(place.department) and place.department == self.department_of(scope.project)
            )
        return place.department == scope.department


def refused(verb: Verb, resource: str, place: Place) -> Forbidden:
    """That somebody may not do this there."""
    where = f" in project {place.project!r}" if place.project else ""
    where = where or (f" in department {place.department!r}" if place.department else "")
    return Forbidden(
        f"you may not {verb} {resource}{where}",
        hint="migctl whoami shows your roles; an admin grants more: migctl access grant USER ROLE",
    )


def scope_name(scope: AccessScope) -> str:
    """Which of rights.SCOPES a scope is."""
    return "project" if scope.project else "department" if scope.department else "everything"


def can_be_given(access: RoleInScope) -> bool:
    """Whether the role exists in such a scope."""
    return scope_name(access.scope) in SCOPES[access.role] and not (access.scope.project and access.scope.department)


OWNER = (RoleInScope(role=Role.ADMIN),)
"""What the person has who runs `migctl up`: he is admin."""
