"""The control plane as a caller may use it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from migctl.access.authorized import AuthorizedControlPlane
from migctl.access.caller import Caller, Rights
from migctl.backends.mirror import Mirror
from migctl.backends.protocol import ControlPlaneError, Forbidden, NotFound
from migctl.objects import (
    AccessRule,
    AccessRuleSpec,
    AccessScope,
    Claim,
    ClaimSpec,
    ClaimStatus,
    DynamicMig,
    Event,
    EventSpec,
    GpuNode,
    Meta,
    NodeStatus,
    PlacementPlan,
    Project,
    Role,
    RoleInScope,
    Workload,
)
from nodeagent.contract.allocation import NodeReport
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


SECRET = "secret-job"


async def with_messages(behind: MemoryControlPlane) -> None:
    """What is in team-a, and a node, with texts that name a workload of team-b."""
    text = f"team-b/{SECRET} is in the way of all; ask its user zoe"
    hidden = samples.workload(SECRET, "team-b")
    await behind.create(replace(hidden, spec=replace(hidden.spec, user="zoe")))
    mine = await behind.create(samples.workload("mine", "team-a"))
    await behind.patch(mine, {"status": {"message": text}})
    claim = Claim(
        meta=Meta(name="mine-0", project="team-a"),
        spec=ClaimSpec(workload="mine", workload_uid=mine.meta.uid, gpu_request=mine.spec.gpu_request),
        status=ClaimStatus(message=text),
    )
    await behind.create(claim)
    await behind.create(Event(meta=Meta(name="e"), spec=EventSpec(about="Workload/mine", reason="R", message=text)))
    told = Event(meta=Meta(name="e", project="team-a"), spec=EventSpec(about="Workload/mine", reason="R", message=text))
    await behind.create(told)
    report = NodeReport(node="node-b", boot_id="1", generation=1, gpus=(), models={}, notes={"gpu": text})
    mode = DynamicMig(wanted=True, outcome="refused", message=text)
    await behind.create(GpuNode(meta=Meta(name="node-b"), status=NodeStatus(report, message=text, dynamic_mig=mode)))


async def test_texts_name_nothing_that_a_caller_may_not_see(behind: MemoryControlPlane) -> None:
    await with_messages(behind)
    theirs = await as_user(behind, role(Role.RESEARCHER, project="team-a"))
    admins = await as_user(behind, role(Role.ADMIN))
    kinds: tuple[tuple[type[Any], str, str], ...] = (
        (Workload, "mine", "team-a"),
        (Claim, "mine-0", "team-a"),
        (GpuNode, "node-b", ""),
    )
    for kind, name, project in kinds:
        for hidden in (await theirs.get(kind, name, project), *(await theirs.list(kind)).items):
            assert not re.search("secret|team-b|zoe", str(hidden)), kind
        assert SECRET in str(await admins.get(kind, name, project))
    for event in (await theirs.list(Event)).items:
        assert event.spec.message == "another workload is in the way of all; ask its user another user"
    since = (await theirs.list(Workload)).version
    mine = await theirs.get(Workload, "mine", "team-a")
    assert "another workload" in mine.status.message
    own = await as_user(behind, role(Role.PROJECT_ADMIN, project="team-a"))
    changed = await own.patch(mine, {"spec": {"suspended": True}})
    assert SECRET not in changed.status.message
    change = await anext(aiter(theirs.watch(Workload, since)))
    assert "another workload" in change.object.status.message
    assert SECRET in (await behind.get(Workload, "mine", "team-a")).status.message
