"""Every route by everybody: what the cluster's RBAC does not allow is not seen and not done.

What is expected is computed from the deployed roles by the fake API server's authorizer, not by what is under test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from migctl.access.caller import Place
from migctl.access.rights import Verb
from migctl.cluster_api.permissions import OURS, TABLE
from migctl.objects import Claim, Project, Workload
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.rbac import Attempt
from tests.fakes.kubernetes_api.users import of_token
from tests.migctl.api.v1.workloads.bodies import TYPES, body
from tests.migctl.cluster_api.conftest import ACCOUNT, TOKENS, ServedCluster

pytestmark = pytest.mark.anyio

PUBLIC = {"/token"}
ENDLESS = {"/watch"}
SECRET = "secret"
STORED = ("pods", "jobs", "statefulsets", "deployments", "projects", "departments", "nodepools", "namespaces")


def routes(served: ServedCluster) -> Iterator[tuple[str, str]]:
    for route in served.app.routes:
        if isinstance(route, APIRoute) and route.path not in ENDLESS:
            yield from ((method, route.path) for method in sorted(route.methods or ()))


def filled(path: str, values: dict[str, str], other: str) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: values.get(found[1], other), path)


def submission(name: str, kind: str = "trainings", project: str = "team-a") -> dict[str, Any]:
    sent = body(name, project, kind)
    return {key: value for key, value in sent.items() if key != "clusterId"}


def allowed(served: ServedCluster, user: str, verb: Verb, resource: str, namespace: str = "team-a") -> bool:
    """Whether the deployed roles let him, by each permission that the table says it takes."""
    name, authorizer = of_token(TOKENS[user]).name, served.cluster.operations.authorizer
    return all(
        authorizer.allows(name, Attempt(one.verb, one.group, one.resource, where))
        for one in TABLE[verb, resource]
        for where in ["" if resource in OURS else namespace]
    )


async def secrets(served: ServedCluster) -> dict[str, str]:
    """A workload in team-a, and what stands in paths for it."""
    answer = await served["editor"].post("/workloads/trainings", json=submission(f"{SECRET}-job"))
    assert answer.status_code == 202, answer.text
    uid = answer.json()["workloadId"]
    await served.until(lambda: any(w.meta.uid == uid for w in served.service.view.all(Workload)))
    await served.until(lambda: served.service.view.all(Claim))
    return {"workload_id": uid, "plural": "trainings"}


def stored(served: ServedCluster) -> dict[str, list[Any]]:
    """What people write, without what controllers and time change."""
    found = {plural: served.cluster.operations.storage.all(plural) for plural in STORED}
    return {plural: [(one["metadata"]["uid"], one.get("spec")) for one in some] for plural, some in found.items()}


async def test_without_a_token_every_route_says_so(served: ServedCluster) -> None:
    for method, path in routes(served):
        if path not in PUBLIC:
            answer = await served["unknown"].request(method, filled(path, {}, "x"))
            assert answer.status_code == 401, (method, path, answer.text)


@pytest.mark.parametrize("user", ["outsider", "nobody", "gpu-admin"])
async def test_nothing_of_another_project_is_seen_anywhere(served: ServedCluster, user: str) -> None:
    values = await secrets(served)
    for method, path in routes(served):
        answers = []
        for uid in (values["workload_id"], "f" * len(values["workload_id"])):
            at = filled(path, {**values, "workload_id": uid}, f"{SECRET}-job")
            sent = {"ids": [uid], "action": "delete"} if path.endswith("/batch") else submission(f"{SECRET}-job")
            answer = await served[user].request(method, at, json=sent if method != "GET" else None)
            assert answer.status_code < 500, (method, path, answer.text)
            answers.append((answer.status_code, answer.text.replace(uid, "ID")))
        if "workload_id" in path:
            assert answers[0] == answers[1], (method, path, "tells whether it exists")
        if method == "GET" and user != "gpu-admin":
            assert SECRET not in answers[0][1].replace(f"{SECRET}-job", ""), (method, path)


@pytest.mark.parametrize("user", ["viewer", "outsider", "nobody"])
async def test_who_may_change_nothing_of_a_project_changes_nothing(served: ServedCluster, user: str) -> None:
    values = await secrets(served)
    before = stored(served)
    for method, path in routes(served):
        if method == "GET":
            continue
        for sent in (None, {}, submission("other"), {"ids": [values["workload_id"]], "action": "delete"}):
            answer = await served[user].request(method, filled(path, values, "team-a"), json=sent)
            assert answer.status_code < 500, (method, path, answer.text)
    assert stored(served) == before


@pytest.mark.parametrize("kind", TYPES)
async def test_workloads_of_each_type_by_everybody_are_as_the_roles_say(served: ServedCluster, kind: str) -> None:
    made = await served["admin"].post(f"/workloads/{kind}", json=submission("of-another", kind))
    assert made.status_code == 202, made.text
    other = made.json()["workloadId"]
    for user in TOKENS:
        may = {verb: allowed(served, user, verb, Workload.PLURAL) for verb in Verb}
        answer = await served[user].post(f"/workloads/{kind}", json=submission(f"of-{user}", kind))
        assert answer.status_code == (202 if may[Verb.CREATE] else 403), (user, answer.text)
        reads = may[Verb.READ]
        for path in (f"/workloads/{kind}/{other}", f"/workloads/{other}", f"/workloads/{other}/pods"):
            assert (await served[user].get(path)).status_code == (200 if reads else 404), (user, path)
        for act in ("suspend", "resume"):
            answer = await served[user].post(f"/workloads/{kind}/{other}/{act}")
            changed = 202 if may[Verb.UPDATE] else 403
            assert answer.status_code == (changed if reads else 404), (user, act, answer.text)
        if user != "admin":
            answer = await served[user].delete(f"/workloads/{kind}/{other}")
            gone = 202 if may[Verb.DELETE] else 403
            assert answer.status_code == (gone if reads else 404), (user, answer.text)
            if may[Verb.DELETE]:
                made = await served["admin"].post(f"/workloads/{kind}", json=submission(f"after-{user}", kind))
                other = made.json()["workloadId"]


@pytest.mark.parametrize("user", TOKENS)
async def test_the_door_knows_before_somebody_tries(served: ServedCluster, user: str) -> None:
    who = await served.service.reviews.identity(TOKENS[user])
    door = await served.service.callers_door(who, "")
    for verb, resource in TABLE:
        namespace = "" if resource in OURS else "team-a"
        expected = allowed(served, user, verb, resource)
        assert await door.may(verb, resource, namespace) == expected, (verb, resource)
        if verb is Verb.READ:
            assert bool(door.rights.reach(verb, resource, Place(namespace))) == expected
    assert not await door.may(Verb.CREATE, "accessrules"), "a cluster has rights of its own"
    assert {one.meta.name for one in door.seen.all(Project)} == {"team-a", "team-b"}, "as migctl-overview says"


async def test_the_whole_identity_is_asked_about(served: ServedCluster) -> None:
    await served["ci"].get("/workloads")
    asked = served.cluster.server.tokens.asked
    assert asked
    name = of_token(TOKENS["ci"]).name
    for spec in asked:
        assert (spec["user"], spec["uid"]) == (name, f"uid-of-{name}")
        assert spec["groups"] == ["system:authenticated"]
        assert spec["extra"] == {}


async def test_without_an_answer_nothing_is_allowed(served: ServedCluster) -> None:
    values = await secrets(served)
    served.passed()
    served.cluster.server.faults.before.append(
        lambda call: Refused(500, "InternalError", "etcd is away") if call.path.endswith("accessreviews") else None
    )
    for method, path in routes(served):
        if path not in PUBLIC:
            answer = await served["admin"].request(method, filled(path, values, "team-a"), json={})
            assert answer.status_code == 503, (method, path, answer.text)


async def test_a_right_that_was_taken_back_ends_within_the_time_that_answers_count(served: ServedCluster) -> None:
    values = await secrets(served)
    at = f"/workloads/{values['workload_id']}"
    assert (await served["viewer"].get(at)).status_code == 200
    del served.cluster.operations.authorizer.local_rules["viewer", "team-a"]
    served.passed()
    assert (await served["viewer"].get(at)).status_code == 404
    assert (await served["viewer"].get("/workloads/count")).json()["count"] == 0


async def test_the_api_itself_may_write_nothing_and_uses_all_that_it_may(served: ServedCluster) -> None:
    await secrets(served)
    rules = served.cluster.operations.authorizer.cluster_rules[ACCOUNT]
    writes = {verb for rule in rules for verb in rule["verbs"]} - {"get", "list", "watch"}
    creates = {resource for rule in rules if "create" in rule["verbs"] for resource in rule["resources"]}
    assert (writes, creates) == ({"create"}, {"tokenreviews", "subjectaccessreviews"})
    assert served.cluster.operations.authorizer.unused(ACCOUNT) == []
    written = {call.method for call in served.cluster.server.faults.calls if call.user == ACCOUNT} - {"GET"}
    assert written == {"POST"}


def answered(answer: httpx.Response) -> set[str]:
    return {one["name"] for one in answer.json()["workloads"]}


async def test_lists_and_counts_hold_what_one_may_see(served: ServedCluster) -> None:
    await secrets(served)
    await served["outsider"].post("/workloads/trainings", json=submission("other-job", project="team-b"))
    await served.until(lambda: len(served.service.view.all(Workload)) == 2)
    both = {f"{SECRET}-job", "other-job"}
    own = {f"{SECRET}-job"}
    expected = {"admin": both, "editor": own, "outsider": {"other-job"}, "nobody": set(), "gpu-admin": set()}
    for user, names in expected.items():
        assert answered(await served[user].get("/workloads")) == names, user
        assert (await served[user].get("/workloads/count")).json()["count"] == len(names), user


async def test_events_are_read_with_the_callers_own_token(served: ServedCluster) -> None:
    values = await secrets(served)
    answer = await served["viewer"].get(f"/workloads/{values['workload_id']}/events")
    assert answer.status_code == 200
    asking = {call.user for call in served.cluster.server.faults.calls if call.path.endswith("team-a/events")}
    assert "viewer" in asking
    assert ACCOUNT not in asking
