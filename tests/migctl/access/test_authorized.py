"""The control plane as a caller may use it."""

from __future__ import annotations

from typing import Any

import pytest

from migctl.access.authorized import AuthorizedControlPlane
from migctl.access.caller import Caller, Rights
from migctl.backends.mirror import Mirror
from migctl.backends.protocol import ControlPlaneError, Forbidden, NotFound
from migctl.objects import (
    AccessRule,
    AccessRuleSpec,
    AccessScope,
    GpuNode,
    Meta,
    PlacementPlan,
    Project,
    Role,
    RoleInScope,
    Workload,
)
from tests.fakes.control_plane import MemoryControlPlane
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio


async def as_user(behind: MemoryControlPlane, *access: RoleInScope) -> AuthorizedControlPlane:
    """What a user with these roles can use."""
    view = Mirror(behind)
    await view.read()

    def department_of(name: str) -> str:
        project = view.get(Project, name)
        return (project.spec.department or "") if project else ""

    return AuthorizedControlPlane(behind, view, Rights(Caller("ann", access), department_of))


def role(role: Role, project: str = "", department: str = "") -> RoleInScope:
    return RoleInScope(role=role, scope=AccessScope(project=project, department=department))


@pytest.fixture
async def behind() -> MemoryControlPlane:
    made = MemoryControlPlane()
    for name in ("team-a", "team-b"):
        await made.create(samples.project(name))
        rule = AccessRuleSpec(user="ben", access=role(Role.VIEWER, project=name))
        await made.create(AccessRule(meta=Meta(name=f"ben-{name}"), spec=rule))
    await made.create(GpuNode(meta=Meta(name="node-a")))
    await made.create(samples.workload("train", "team-b"))
    return made


@pytest.mark.parametrize(
    ("kind", "name", "project"),
    [
        (Workload, "train", "team-b"),
        (Project, "team-b", ""),
        (GpuNode, "node-a", ""),
        (PlacementPlan, "plan-1", ""),
        (AccessRule, "ben-team-b", ""),
    ],
)
async def test_what_a_user_may_not_read_answers_as_what_does_not_exist(
    behind: MemoryControlPlane, kind: type[Any], name: str, project: str
) -> None:
    access = () if kind is GpuNode else (role(Role.PROJECT_ADMIN, project="team-a"),)
    control = await as_user(behind, *access)

    async def told(name: str, project: str) -> str:
        with pytest.raises(ControlPlaneError) as error:
            await control.get(kind, name, project)
        assert type(error.value) is Forbidden
        return str(error.value).replace(repr(project), "P").replace(repr(name), "N")

    assert await told(name, project) == await told("no-such", "nowhere" if project else "")
    assert not [o for o in (await control.list(kind)).items if o.meta.name == name]


async def test_an_admin_is_told_what_does_not_exist(behind: MemoryControlPlane) -> None:
    control = await as_user(behind, role(Role.ADMIN))
    with pytest.raises(NotFound):
        await control.get(GpuNode, "no-such")
