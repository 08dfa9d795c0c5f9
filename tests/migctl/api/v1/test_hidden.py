"""Random clusters, every GET route, every role: nothing of a project that the caller may not see is in any answer.

The routes are those of the application: one that is added is met by this test as it is.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Generated
from hypothesis import strategies as st

from migctl.objects import (
    Claim,
    Department,
    DepartmentSpec,
    Event,
    EventSpec,
    GpuRequest,
    Meta,
    Phase,
    PlacementPlan,
    PlanOutcome,
    PlanSpec,
    PlanStep,
    Project,
    ProjectSpec,
    Workload,
)
from tests.migctl.api.v1.conftest import USERS, Served, routes, serving_users
from tests.migctl.cli import scenes

WORD = st.from_regex(r"[b-df-hj-np-tv-xz]{5}[0-9][b-df-hj-np-tv-xz]{5}", fullmatch=True)
"""Names that are in no other word."""
GPUS = tuple(scenes.gpu("node-a", index, scenes.A100) for index in range(2))
SHARED = ("node-a", GPUS[0].uuid, "default", "team-a")
"""What everybody with a role there may look at, by name."""
SEEN_BY = {"admin"}
"""Who may see the hidden project."""


@dataclass(frozen=True)
class World:
    """words: names of what is hidden; ids: its uids; own: uids and names of what members of team-a see."""

    words: Sequence[str]
    ids: Sequence[str]
    own: Sequence[str]

    @property
    def secrets(self) -> Sequence[str]:
        return (*self.words, *self.ids)


async def built(served: Served, words: Sequence[str]) -> World:
    """A hidden project whose work runs, waits and was evicted, beside work of team-a that it is in the way of."""
    project, department, user, running, waiting, evicted, gone = words
    behind = served.behind
    await behind.create(Department(meta=Meta(name=department), spec=DepartmentSpec(quota=4.0)))
    await behind.create(Project(meta=Meta(name=project), spec=ProjectSpec(quota=1.0, department=department)))
    await behind.create(scenes.node("node-a", *GPUS, processes={None: 100}))
    full = [scenes.Placed("node-a", (scenes.mig_share(gpu, "7g.40gb", 0),)) for gpu in GPUS]
    whole = GpuRequest(devices=1)
    figures = f"project {project}: allocated 1.00, quota 1.00, fair share 1.00; department {department}: allocated 1.00"
    own = f"0.50 GPUs reclaimed for {project}/{running}; project team-a: allocated 0.00, quota 2.00; {figures}"
    theirs = f"preempted for {project}/{running}, whose priority 80 is above 50; {figures}"
    lost = f"0.50 GPUs reclaimed for {gone}/{gone}; {figures.replace(project, gone)}"
    hidden = [
        await scenes.workload(behind, running, whole, full[0], project=project, preemptible=False),
        await scenes.workload(behind, waiting, whole, project=project),
        await scenes.workload(behind, evicted, whole, project=project, phase=Phase.PREEMPTED, message=theirs),
    ]
    mine = [
        await scenes.workload(behind, "mine", whole, full[1], preemptible=False),
        await scenes.workload(behind, "waits", whole),
        await scenes.workload(behind, "lost", whole, phase=Phase.PREEMPTED, reason="Preempted", message=own),
        await scenes.workload(behind, "older", whole, phase=Phase.PREEMPTED, reason="Preempted", message=lost),
    ]
    for one in hidden:
        stored = await behind.get(Workload, one.meta.name, project)
        await behind.patch(stored, {"spec": {"user": user}})
    texts = [("lost", own), ("older", lost), ("waits", f"room is freed by {project}/{evicted}: {theirs}")]
    for about, text in texts:
        uid = next(one.meta.uid for one in mine if one.meta.name == about)
        spec = EventSpec(about=f"Workload/{about}", reason="Preempted", message=text, uid=uid)
        await behind.create(Event(meta=Meta(name=f"{about}-event", project="team-a"), spec=spec))
    spec = EventSpec(
        about=f"Workload/{running}", reason="Placed", message=f"{running} was placed", uid=hidden[0].meta.uid
    )
    event = await behind.create(Event(meta=Meta(name=f"{running}-event", project=project), spec=spec))
    step = PlanStep(action="evict", text=f"evict team-a/lost for {project}/{running}: {own}", claim="c")
    outcomes = tuple(
        PlanOutcome(
            claim=claim.meta.uid, name=f"{claim.meta.project}/{claim.spec.workload}", placed=False, text="no room"
        )
        for claim in (await behind.list(Claim)).items
    )
    plan = await behind.create(
        PlacementPlan(meta=Meta(name=f"plan-{gone}"), spec=PlanSpec(steps=(step,), outcomes=outcomes))
    )
    await served.settled()
    await served.mirror.wait(-1)
    queues = (await behind.get(Project, project), await behind.get(Department, department))
    claims = [claim for claim in (await behind.list(Claim)).items if claim.meta.project == project]
    there: tuple[Any, ...] = (*hidden, *claims, *queues, event, plan)
    return World(words, [one.meta.uid for one in there], [*(one.meta.uid for one in mine), *SHARED])


def paths(served: Served) -> list[str]:
    """Of every GET route."""
    return [path for method, path in routes(served) if method == "GET"]


def filled(path: str, value: str) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: "trainings" if found[1] == "plural" else value, path)


async def told(served: Served, user: str, path: str) -> str:
    """All of an answer."""
    answer = await served[user].get(path)
    assert answer.status_code < 500, (user, path, answer.text)
    return f"{answer.status_code} {dict(answer.headers)} {answer.text}"


async def check(words: Sequence[str]) -> None:
    async with serving_users() as served:
        world = await built(served, words)
        for user in USERS.keys() - SEEN_BY:
            for path in paths(served):
                for value in world.own if "{" in path else ("",):
                    answer = await told(served, user, filled(path, value))
                    assert not [one for one in world.secrets if one in answer], (user, path, answer)
                if "{" in path:
                    for value in world.secrets:
                        other = "0" * len(value)
                        hidden = await told(served, user, filled(path, value))
                        missing = await told(served, user, filled(path, other))
                        assert hidden.replace(value, other) == missing, (user, path, value)


@settings(max_examples=3, deadline=None, phases=[Generated.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(WORD, min_size=7, max_size=7, unique=True))
def test_nothing_of_a_hidden_project_is_in_any_answer(words: list[str]) -> None:
    asyncio.run(check(words))
