"""Every route by every role: what others have is not seen, and nothing is changed that may not be.

The routes are those of the application: one that is added is met by these tests as it is.
"""

from __future__ import annotations

import re
from typing import Any, cast

import httpx
import pytest

from migctl.access.caller import Caller, Place, Rights
from migctl.access.rights import Reach, Verb
from migctl.objects import KINDS, Event, EventSpec, Meta, Workload
from tests.migctl.api.v1.conftest import USERS, Served, routes
from tests.migctl.api.v1.workloads.bodies import TYPES, body

pytestmark = pytest.mark.anyio

PUBLIC = {"/token"}
"""Routes for callers who are nobody yet."""
SECRET = "secret"
"""Part of every name in team-a that others must not learn."""


def filled(path: str, values: dict[str, str], other: str) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: values.get(found[1], other), path)


async def secrets(served: Served) -> dict[str, str]:
    """A workload of team-a with an event; what stands in paths for it."""
    answer = await served["researcher"].post("/workloads/trainings", json=body(f"{SECRET}-job"))
    uid = answer.json()["workloadId"]
    spec = EventSpec(about=f"Workload/{SECRET}-job", reason="Placed", message=f"{SECRET} happened", uid=uid)
    await served.behind.create(Event(meta=Meta(name=f"{SECRET}-event", project="team-a"), spec=spec))
    await served.settled()
    return {"workload_id": uid, "plural": "trainings"}


async def everything(served: Served) -> dict[str, Any]:
    return {plural: (await served.behind.list(cast("type[Workload]", kind))).items for plural, kind in KINDS.items()}


async def called(served: Served, user: str, method: str, path: str, sent: Any = None) -> httpx.Response:
    return await served[user].request(method, path, json=sent)


async def test_without_a_token_every_route_says_so(served: Served) -> None:
    for method, path in routes(served):
        if path not in PUBLIC:
            answer = await called(served, "unknown", method, filled(path, {}, "x"))
            assert answer.status_code == 401, (method, path, answer.text)


@pytest.mark.parametrize("user", ["outsider", "nobody"])
async def test_nothing_of_another_project_is_seen_anywhere(served: Served, user: str) -> None:
    values = await secrets(served)
    for method, path in routes(served):
        answers = []
        for uid in (values["workload_id"], "f" * len(values["workload_id"])):
            at = filled(path, {**values, "workload_id": uid}, f"{SECRET}-job")
            sent = {"ids": [uid], "action": "delete"} if path.endswith("/batch") else body(f"{SECRET}-job")
            answer = await called(served, user, method, at, sent if method != "GET" else None)
            answers.append((answer.status_code, answer.text.replace(uid, "ID")))
        if "workload_id" in path:
            assert answers[0] == answers[1], (method, path, "tells whether it exists")
        if method == "GET":
            known = answers[0][1].replace(f"{SECRET}-job", "")
            assert SECRET not in known, (method, path, known)


@pytest.mark.parametrize("user", ["viewer", "outsider", "nobody"])
async def test_who_may_change_nothing_of_a_project_changes_nothing(served: Served, user: str) -> None:
    values = await secrets(served)
    before = await everything(served)
    for method, path in routes(served):
        if method == "GET":
            continue
        for sent in (None, {}, body("other"), {"ids": [values["workload_id"]], "action": "delete"}):
            await called(served, user, method, filled(path, values, "team-a"), sent)
    assert await everything(served) == before


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", TYPES)
async def test_workloads_of_each_type_by_each_role_are_as_in_the_table(served: Served, user: str, kind: str) -> None:
    rights = Rights(Caller(user, USERS[user]), lambda _: "research")
    place = Place("team-a", "research")

    def reach(verb: Verb) -> Reach:
        return rights.reach(verb, Workload.PLURAL, place)

    answer = await served[user].post(f"/workloads/{kind}", json=body("own", kind=kind))
    assert (answer.status_code == 202) == bool(reach(Verb.CREATE)), answer.text
    assert answer.status_code in (202, 403)
    own = answer.json()["workloadId"] if answer.status_code == 202 else None
    made = await served["admin"].post(f"/workloads/{kind}", json=body("of-another", kind=kind))
    other = made.json()["workloadId"]
    reads = bool(reach(Verb.READ))
    for path in (f"/workloads/{kind}/{other}", f"/workloads/{other}", f"/workloads/{other}/pods"):
        assert (await served[user].get(path)).status_code == (200 if reads else 404)
    for act, verb in (("suspend", Verb.UPDATE), ("resume", Verb.UPDATE), ("", Verb.DELETE)):
        for uid, is_own in ((other, user == "admin"), (own, True)):
            if uid is None:
                continue
            method, path = ("POST", f"/workloads/{kind}/{uid}/{act}") if act else ("DELETE", f"/workloads/{kind}/{uid}")
            expected = 202 if reach(verb) is Reach.ALL or (is_own and reach(verb) is Reach.OWN) else 403
            assert (await served[user].request(method, path)).status_code == (expected if reads else 404), (act, is_own)
