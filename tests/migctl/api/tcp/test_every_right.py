"""Every verb on every kind by every role, through the port, equals the table in docs/access.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from migctl.access.giving import rule_name
from migctl.access.rights import CLUSTER_WIDE, TABLE, Reach, Verb
from migctl.objects import (
    KINDS,
    AccessRule,
    AccessRuleSpec,
    AccessScope,
    AccessToken,
    AccessTokenSpec,
    Claim,
    ClaimSpec,
    Department,
    DepartmentSpec,
    Event,
    EventSpec,
    GpuNode,
    GpuRequest,
    Meta,
    NodePool,
    NodePoolSpec,
    Object,
    PlacementPlan,
    Project,
    ProjectSpec,
    Role,
    RoleInScope,
    Workload,
    to_builtins,
)
from tests.migctl.api.tcp.conftest import OBJECTS, Tcp
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio

SCOPE: Mapping[Role, Mapping[str, str]] = {
    Role.ADMIN: {},
    Role.DEPARTMENT_ADMIN: {"department": "research"},
    Role.PROJECT_ADMIN: {"project": "team-a"},
    Role.RESEARCHER: {"project": "team-a"},
    Role.VIEWER: {"project": "team-a"},
}


def _rule(name: str, project: str) -> AccessRule:
    access = RoleInScope(role=Role.VIEWER, scope=AccessScope(project=project))
    return AccessRule(meta=Meta(name=rule_name(name, access)), spec=AccessRuleSpec(user=name, access=access))


def _token(name: str, project: str) -> AccessToken:
    access = RoleInScope(role=Role.VIEWER, scope=AccessScope(project=project))
    return AccessToken(meta=Meta(name=name), spec=AccessTokenSpec(user=name, access=access, secret_sha256="0" * 64))


MADE: Mapping[type[Object], Callable[[str, str], Object]] = {
    Project: lambda name, project: Project(
        meta=Meta(name=name), spec=ProjectSpec(quota=0.0, department="research" if project == "team-a" else None)
    ),
    Department: lambda name, _: Department(meta=Meta(name=name), spec=DepartmentSpec(quota=1.0)),
    NodePool: lambda name, _: NodePool(meta=Meta(name=name), spec=NodePoolSpec()),
    Workload: samples.workload,
    Claim: lambda name, project: Claim(
        meta=Meta(name=name, project=project),
        spec=ClaimSpec(workload="w", workload_uid="u", gpu_request=GpuRequest(devices=1)),
    ),
    GpuNode: lambda name, _: GpuNode(meta=Meta(name=name)),
    PlacementPlan: lambda name, _: PlacementPlan(meta=Meta(name=name)),
    Event: lambda name, project: Event(
        meta=Meta(name=name, project=project), spec=EventSpec(about="Workload/w", reason="Made", message="made")
    ),
    AccessRule: _rule,
    AccessToken: _token,
}
"""An object of each kind, in a project where the kind is in one."""


def test_every_kind_is_asked_for() -> None:
    assert set(MADE) == set(KINDS.values())


async def attempt(tcp: Tcp, verb: Verb, obj: Object, headers: dict[str, str]) -> int:
    """The status of doing this to an object; to one that is not stored yet for `create`."""
    path = f"{OBJECTS}/{obj.PLURAL}"
    if verb is Verb.CREATE:
        return (await tcp.http.post(path, json=to_builtins(obj), headers=headers)).status_code
    stored: Any = await tcp.behind.create(obj)
    await tcp.settled()
    one = f"{path}/{stored.meta.name}?project={stored.meta.project}&uid={stored.meta.uid}"
    match verb:
        case Verb.READ:
            return (await tcp.http.get(one, headers=headers)).status_code
        case Verb.UPDATE:
            return (await tcp.http.patch(one, json={"spec": {}}, headers=headers)).status_code
    return (await tcp.http.delete(one, headers=headers)).status_code


def allowed(role: Role, verb: Verb, obj: Object, project: str) -> bool:
    """What the table says of an object that somebody else made."""
    reach = TABLE[role].get(obj.PLURAL, {}).get(verb, Reach.NOTHING)
    inside = project == "team-a" or role is Role.ADMIN or (obj.PLURAL in CLUSTER_WIDE and verb is Verb.READ)
    if isinstance(obj, Department) and role is not Role.ADMIN:
        inside = False  # of a department of its own, in which he has nothing
    if isinstance(obj, Project) and role in (Role.PROJECT_ADMIN, Role.RESEARCHER, Role.VIEWER):
        inside = False  # likewise
    if reach is Reach.OWN and verb is Verb.CREATE:
        return inside
    return inside and reach is Reach.ALL


@pytest.mark.parametrize("role", Role)
async def test_what_a_role_may_do_is_what_the_table_says(tcp: Tcp, role: Role) -> None:
    headers = await tcp.as_("somebody", role, **SCOPE[role])
    wrong = []
    for number, (kind, make) in enumerate(MADE.items()):
        for project in ("team-a", "team-b"):
            for verb in Verb:
                obj = make(f"x{number}-{verb}-{project}", project)
                status = await attempt(tcp, verb, obj, headers)
                wanted = allowed(role, verb, obj, project)
                # 400: access is not changed once it is there, whoever asks
                answers = (200, 201, 204, 400) if wanted else (403,)
                if status not in answers:
                    wrong.append((kind.__name__, project, verb, status, wanted))
    assert wrong == []


async def test_ones_own_work_is_ones_own(tcp: Tcp) -> None:
    headers = await tcp.as_("somebody", Role.RESEARCHER, project="team-a")
    for verb in (Verb.READ, Verb.UPDATE, Verb.DELETE):
        work = samples.workload(f"own-{verb}")
        own = replace(work, spec=replace(work.spec, user="somebody"))
        assert await attempt(tcp, verb, own, headers) in (200, 204)
