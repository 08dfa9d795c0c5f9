"""Nobody can give more than he has, whatever he has and whatever he tries to give."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from migctl.access.caller import Caller, Place, Rights, can_be_given
from migctl.access.rights import CLUSTER_WIDE, SCOPES, TABLE, Reach, Verb
from migctl.objects import AccessScope, Department, Role, RoleInScope

DEPARTMENTS = {"team-a": "research", "team-b": "research", "team-c": "sales", "team-d": ""}
"""Projects and where they are."""


def department_of(project: str) -> str:
    return DEPARTMENTS.get(project, "")


roles = st.builds(
    RoleInScope,
    role=st.sampled_from(Role),
    scope=st.one_of(
        st.just(AccessScope()),
        st.sampled_from(sorted(DEPARTMENTS)).map(lambda name: AccessScope(project=name)),
        st.sampled_from(["research", "sales"]).map(lambda name: AccessScope(department=name)),
    ),
).filter(can_be_given)

PLACES = [
    Place(),
    *(Place(department=name) for name in ("research", "sales")),
    *(Place(name, department) for name, department in DEPARTMENTS.items()),
]
RESOURCES = sorted({resource for rights in TABLE.values() for resource in rights})


def reaches(access: tuple[RoleInScope, ...]) -> dict[tuple[Verb, str, Place], Reach]:
    """All that somebody with these roles may do."""
    rights = Rights(Caller("ada", access), department_of)
    every = itertools.product(Verb, RESOURCES, PLACES)
    return {(verb, resource, place): rights.reach(verb, resource, place) for verb, resource, place in every}


@given(st.lists(roles, max_size=3), roles)
def test_who_gives_a_role_has_all_that_it_gives(has: list[RoleInScope], gives: RoleInScope) -> None:
    giver = Rights(Caller("ada", tuple(has)), department_of)
    if not giver.covers_all(gives):
        return
    before, after = reaches(tuple(has)), reaches((*has, gives))
    shared = {*CLUSTER_WIDE, Department.PLURAL}
    assert {key for key in before if after[key] > before[key] and key[1] not in shared} == set()


@given(st.lists(roles, max_size=3), roles)
def test_another_role_never_takes_a_right_away(has: list[RoleInScope], more: RoleInScope) -> None:
    before, after = reaches(tuple(has)), reaches((*has, more))
    assert all(after[key] >= before[key] for key in before)


def test_every_role_is_given_somewhere_and_an_admin_may_give_it() -> None:
    admin = Rights(Caller("root", (RoleInScope(role=Role.ADMIN),)), department_of)
    assert set(SCOPES) == set(Role) == set(TABLE)
    for role in Role:
        for scope in (AccessScope(), AccessScope(department="research"), AccessScope(project="team-a")):
            access = RoleInScope(role=role, scope=scope)
            assert not can_be_given(access) or admin.covers_all(access)
