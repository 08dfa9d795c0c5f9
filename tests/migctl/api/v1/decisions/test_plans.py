"""Moves proposed, applied and undone over REST: an admin's, checked on the newest state."""

from __future__ import annotations

import pytest

from migctl.objects import APPLIED, APPLY_LABEL, Claim, GpuRequest, PlacementPlan
from tests.migctl.api.v1.conftest import USERS, Served
from tests.migctl.cli import scenes

pytestmark = pytest.mark.anyio
GPUS = tuple(scenes.gpu("node-a", index, scenes.A100) for index in range(2))


@pytest.fixture
async def scattered(served: Served) -> Served:
    """Two GPUs with a small instance each: one move empties one of them."""
    await served.behind.create(scenes.node("node-a", *GPUS))
    for gpu in GPUS:
        placed = scenes.Placed("node-a", (scenes.mig_share(gpu, "2g.10gb", 0),))
        await scenes.workload(served.behind, f"job-{gpu.index}", GpuRequest(profile="2g.10gb"), placed)
    await served.settled()
    return served


async def saved(served: Served) -> str:
    answer = await served["admin"].post("/plans/defrag", json={"target": "7g.40gb", "save": True})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["plan"])


async def test_moves_are_proposed_and_kept_only_when_asked(scattered: Served) -> None:
    shown = (await scattered["admin"].post("/plans/defrag", json={"target": "7g.40gb"})).json()
    assert shown["plan"] is None
    assert len(shown["moves"]) == 1
    assert not (await scattered.behind.list(PlacementPlan)).items
    name = await saved(scattered)
    assert (await scattered["admin"].get(f"/plans/{name}")).json()["phase"] == "Proposed"
    refused = await scattered["admin"].post("/plans/defrag", json={"target": "some"})
    assert refused.json()["complianceIssues"][0]["field"] == "target"


async def test_a_proposal_is_requested_and_refused_when_the_state_moved(scattered: Served) -> None:
    name = await saved(scattered)
    assert (await scattered["admin"].post(f"/plans/{name}/apply")).status_code == 202
    assert (await scattered.behind.get(PlacementPlan, name)).meta.labels[APPLY_LABEL]
    other = await saved(scattered)
    moved = (await scattered.behind.get(PlacementPlan, other)).spec.moves[0]
    claim = next(one for one in scattered.mirror.all(Claim) if one.meta.uid == moved.claim)
    await scattered.behind.delete(claim)
    await scattered.settled()
    refused = await scattered["admin"].post(f"/plans/{other}/apply")
    assert refused.status_code == 409, refused.text
    assert [one["name"] for one in refused.json()["obstacles"]] == [moved.name]


async def test_what_was_not_applied_is_not_undone_and_what_was_is_not_applied_again(scattered: Served) -> None:
    name = await saved(scattered)
    assert (await scattered["admin"].post(f"/plans/{name}/undo")).status_code == 409
    plan = await scattered.behind.get(PlacementPlan, name)
    await scattered.behind.patch(plan, {"status": {"phase": APPLIED}})
    again = await scattered["admin"].post(f"/plans/{name}/apply")
    assert again.status_code == 409
    assert "tried already" in again.json()["message"]
    undone = await scattered["admin"].post(f"/plans/{name}/undo")
    assert undone.status_code == 202, undone.text
    assert undone.json() == {"plan": None, "stays": []}


@pytest.mark.parametrize("user", USERS)
async def test_plans_are_an_admins(scattered: Served, user: str) -> None:
    name = await saved(scattered)
    for path in ("defrag", f"{name}/apply", f"{name}/undo"):
        answer = await scattered[user].post(f"/plans/{path}", json={})
        assert (answer.status_code == 403) == (user != "admin"), answer.text
        if user != "admin":
            missing = await scattered[user].post(f"/plans/{path.replace(name, 'no-plan')}", json={})
            assert missing.text == answer.text
