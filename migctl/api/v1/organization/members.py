"""Who has a role in a project or department."""

from __future__ import annotations

from migctl.access.caller import APP, EVERYWHERE, Place, place_of, refused, scope_name
from migctl.access.rights import Verb
from migctl.api.v1.not_here import NotOffered
from migctl.api.v1.schemas.organization import MemberOut
from migctl.api.v1.service import CallersService
from migctl.objects import AccessRule, AccessToken, Department, Project


async def members_of(door: CallersService, queue: Project | Department) -> list[MemberOut]:
    """Those with a role that counts in it of whom the caller may know.

    Raises Forbidden where he may know of none, and NotOffered where no roles are given.
    """
    if not door.service.identity.gives_roles:
        raise NotOffered(
            "the cluster's RBAC says who may do what in a project",
            f"kubectl get rolebindings -n {queue.meta.name}"
            if isinstance(queue, Project)
            else "kubectl get rolebindings -A",
        )
    place = place_of(queue, door.rights.department_of)
    if not await door.rights.allows(Verb.READ, AccessRule.PLURAL, place):
        raise refused(Verb.READ, AccessRule.PLURAL, place)
    rules, tokens = await door.control.list(AccessRule), await door.control.list(AccessToken)
    every: list[AccessRule | AccessToken] = [*rules.items, *tokens.items]
    found = {_member(one) for one in every if _counts(one, place)}
    return [
        MemberOut(subject_id=subject, subject_type=kind, role=role, scope_type=scope)
        for subject, kind, role, scope in sorted(found)
    ]


def _counts(given: AccessRule | AccessToken, place: Place) -> bool:
    scope = given.spec.access.scope
    if scope.project:
        return scope.project == place.project
    return scope == EVERYWHERE or scope.department == place.department


def _member(given: AccessRule | AccessToken) -> tuple[str, str, str, str]:
    access = given.spec.access
    scope = {"everything": "system"}.get(scope_name(access.scope), scope_name(access.scope))
    if isinstance(given, AccessToken):
        return given.meta.name, "token", access.role, scope
    user = given.spec.user
    kind = "app" if user.startswith(APP) else "user"
    return user.removeprefix(APP), kind, access.role, scope
