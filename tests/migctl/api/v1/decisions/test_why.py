"""Why a workload waits, over REST: reasons, facts, and what is in its way as far as the caller sees it."""

from __future__ import annotations

import pytest

from migctl.objects import GpuRequest, Workload
from tests.migctl.api.v1.conftest import Served
from tests.migctl.cli import scenes

pytestmark = pytest.mark.anyio


async def waiting(served: Served) -> Workload:
    made = await scenes.workload(served.behind, "mine", GpuRequest(devices=1), project="team-a")
    await served.settled()
    return made


async def test_reasons_facts_and_blockers_are_told(taken: tuple[Served, tuple[str, ...]]) -> None:
    served, _ = taken
    mine = await waiting(served)
    answer = await served["admin"].get(f"/workloads/{mine.meta.uid}/why")
    assert answer.status_code == 200, answer.text
    why = answer.json()
    (facts,) = why["facts"]
    assert why["phase"] == "Pending"
    assert why["reasons"][0].startswith(facts["code"])
    assert facts["kind"] == "RoomHeld"
    assert why["blockers"][0]["workload"] == "secret"
    assert why["hiddenBlockers"] == 0


@pytest.mark.parametrize("user", ["researcher", "department-admin", "viewer"])
async def test_work_of_others_in_the_way_is_counted_and_not_named(
    taken: tuple[Served, tuple[str, ...]], user: str
) -> None:
    served, secrets = taken
    mine = await waiting(served)
    answer = await served[user].get(f"/workloads/{mine.meta.uid}/why")
    assert answer.status_code == 200, answer.text
    assert answer.json()["hiddenBlockers"] == 1
    assert not [one for one in secrets if one in answer.text]


async def test_what_runs_and_what_is_not_seen(taken: tuple[Served, tuple[str, ...]]) -> None:
    served, (_, _, _, uid) = taken
    running = (await served["outsider"].get(f"/workloads/{uid}/why")).json()
    assert (running["phase"], running["facts"], running["blockers"]) == ("Running", [], [])
    hidden = await served["researcher"].get(f"/workloads/{uid}/why")
    missing = await served["researcher"].get(f"/workloads/{'0' * len(uid)}/why")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace(uid, "") == missing.text.replace("0" * len(uid), "")
