"""The verdict over REST: what a submission would become; what others have is counted and not named."""

from __future__ import annotations

from typing import Any

import pytest

from migctl.objects import Claim, Workload
from tests.migctl.api.v1.conftest import USERS, Served
from tests.migctl.api.v1.workloads.bodies import TYPES, body

pytestmark = pytest.mark.anyio
URL = "/workloads/verdict"


def question(kind: str = "trainings", **given: Any) -> dict[str, Any]:
    """A submission with its type; what is given replaces what it has."""
    return {**body(kind=kind), "type": kind.removesuffix("s"), **given}


@pytest.mark.parametrize("kind", TYPES)
async def test_each_type_is_judged_and_nothing_is_created(one_gpu: Served, kind: str) -> None:
    answer = await one_gpu["researcher"].post(URL, json=question(kind))
    assert answer.status_code == 200, answer.text
    verdict = answer.json()
    assert (verdict["name"], verdict["projectName"]) == ("job", "team-a")
    assert verdict["starting"] == verdict["pods"] == len(verdict["places"])
    assert verdict["places"][0]["devices"][0]["name"] == "node-a/0"
    assert not (await one_gpu.behind.list(Workload)).items
    assert not (await one_gpu.behind.list(Claim)).items


async def test_without_a_name_and_with_a_prefix_any_free_name_is_meant(one_gpu: Served) -> None:
    assert (await one_gpu["researcher"].post("/workloads/trainings", json=body("job"))).status_code == 202
    await one_gpu.settled()
    taken = await one_gpu["researcher"].post(URL, json=question())
    assert taken.status_code == 409, taken.text
    unnamed = question()
    del unnamed["name"]
    for sent in (unnamed, question(useGivenNameAsPrefix=True)):
        answer = await one_gpu["researcher"].post(URL, json=sent)
        assert answer.status_code == 200, answer.text


async def test_what_admission_refuses_is_refused_by_the_field_that_was_sent(one_gpu: Served) -> None:
    answer = await one_gpu["researcher"].post(
        URL, json={**question(), "spec": {"image": "x", "compute": {"gpuPortionRequest": 1.5}}}
    )
    assert answer.status_code == 400
    assert answer.json()["complianceIssues"][0]["field"] == "spec.compute.gpuPortionRequest"
    for sent in ({**question(), "type": "dream"}, {}, None):
        assert (await one_gpu["researcher"].post(URL, json=sent)).status_code == 400


@pytest.mark.parametrize("user", USERS)
async def test_who_may_not_submit_learns_nothing(one_gpu: Served, user: str) -> None:
    answer = await one_gpu[user].post(URL, json=question())
    submits = user in ("admin", "department-admin", "project-admin", "researcher", "colleague")
    assert answer.status_code == (200 if submits else 403), answer.text
    if not submits:
        other = await one_gpu[user].post(URL, json=question(projectId="no-such"))
        assert other.text == answer.text.replace("team-a", "no-such")


async def test_work_of_others_in_the_way_is_not_named(taken: tuple[Served, tuple[str, ...]]) -> None:
    """The GPU is held by team-b's secret; only who sees team-b reads its name."""
    served, secrets = taken
    sent = question(spec={"image": "x", "compute": {"gpuDevicesRequest": 1}})
    seen = (await served["admin"].post(URL, json=sent)).json()
    hidden = await served["researcher"].post(URL, json=sent)
    assert seen["blockers"][0]["workload"] == "secret"
    assert hidden.json()["blockers"][0]["workload"] == ""
    assert hidden.json()["prospect"] == seen["prospect"] == "waits"
    assert not [one for one in secrets if one in hidden.text]
