"""Plans and events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from migctl.objects import Event, EventSpec, Meta, PlacementPlan, PlanOutcome, PlanSpec, PlanStep
from tests.migctl.api.v1.conftest import USERS, Served

pytestmark = pytest.mark.anyio


async def filled(served: Served) -> None:
    step = PlanStep(action="assign", text="give team-a/job a half of node-a/0", gpu="GPU-1")
    outcome = PlanOutcome(claim="c-1", name="team-b/other", placed=False, text="no room", code="NoRoom")
    for name in ("plan-1", "plan-2"):
        await served.behind.create(
            PlacementPlan(meta=Meta(name=name), spec=PlanSpec(steps=(step,), outcomes=(outcome,)))
        )
        served.clock.advance(1)
    for project in ("team-a", "team-b"):
        spec = EventSpec(about="Workload/job", reason="Placed", message=f"placed beside team-b/other in {project}")
        await served.behind.create(Event(meta=Meta(name=f"{project}-event", project=project), spec=spec))
        served.clock.advance(60)


@pytest.mark.parametrize("user", USERS)
async def test_plans_are_an_admins(served: Served, user: str) -> None:
    await filled(served)
    listed = await served[user].get("/plans")
    assert listed.status_code == 200
    names = [plan["name"] for plan in listed.json()["plans"]]
    assert names == (["plan-2", "plan-1"] if user == "admin" else [])
    refused = {(await served[user].get(f"/plans/{name}")).text for name in ("plan-1", "no-plan")}
    assert len(refused) == (2 if user == "admin" else 1)


async def test_a_plan_is_told_with_steps_and_outcomes(served: Served) -> None:
    await filled(served)
    plan = (await served["admin"].get("/plans/plan-1")).json()
    assert plan["steps"][0]["text"] == "give team-a/job a half of node-a/0"
    assert plan["outcomes"] == [{"name": "team-b/other", "placed": False, "code": "NoRoom", "text": "no room"}]
    assert (await served["admin"].get("/plans?limit=1")).json()["next"] == 1


async def test_events_are_of_what_the_caller_sees_and_without_others_names(served: Served) -> None:
    await filled(served)

    async def events(user: str, **query: Any) -> list[str]:
        answer = await served[user].get("/events", params=query)
        assert answer.status_code == 200, answer.text
        return [one["message"] for one in answer.json()["events"]]

    both = [f"placed beside team-b/other in {project}" for project in ("team-b", "team-a")]
    assert await events("admin") == both
    assert await events("admin", project="team-b") == both[:1]
    assert await events("admin", about="Workload/none") == []
    assert await events("admin", since=(served.clock() - timedelta(seconds=90)).isoformat()) == both[:1]
    assert await events("viewer") == ["placed beside another workload in team-a"]
    assert await events("viewer", project="team-b") == await events("viewer", project="no-project") == []
    assert await events("nobody") == []
