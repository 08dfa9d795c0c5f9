"""Projects and departments."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from migctl.objects import Department, Meta, NodePool, PoolQuota, Project, ProjectSpec, ProjectStatus
from tests.migctl.api.v1.conftest import CLUSTER, USERS, Served

pytestmark = pytest.mark.anyio

PROJECTS, DEPARTMENTS = "/org-unit/projects", "/org-unit/departments"


def resources(pool: str = "default", **gpu: Any) -> dict[str, Any]:
    return {"nodePool": {"id": pool}, "gpu": gpu}


async def found(served: Served, name: str, user: str = "admin") -> dict[str, Any]:
    answer = await served[user].get(f"{PROJECTS}/{name}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def gpus(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["nodePool"]["name"]: entry["gpu"] for entry in shown["resources"]}


@pytest.mark.parametrize(
    ("user", "names"),
    [
        ("admin", ["team-a", "team-b"]),
        ("department-admin", ["team-a"]),
        ("viewer", ["team-a"]),
        ("outsider", ["team-b"]),
        ("nobody", []),
    ],
)
async def test_projects_are_those_that_the_caller_may_see(served: Served, user: str, names: list[str]) -> None:
    answer = (await served[user].get(PROJECTS)).json()
    assert [one["name"] for one in answer["projects"]] == names
    assert (await served[user].get(f"{PROJECTS}/count")).json() == {"count": len(names)}


async def test_projects_are_searched_filtered_sorted_and_paged(served: Served) -> None:
    async def names(**query: Any) -> list[str]:
        return [one["name"] for one in (await served["admin"].get(PROJECTS, params=query)).json()["projects"]]

    assert await names(search="TEAM-B") == ["team-b"]
    assert await names(filterBy="name==team-a") == ["team-a"]
    assert await names(filterBy="parentName==research,totalGpuQuota>=2") == ["team-a"]
    assert await names(sortBy="name", sortOrder="desc", limit=1) == ["team-b"]
    assert (await served["admin"].get(PROJECTS, params={"limit": 1})).json()["next"] == 1
    unknown = await served["admin"].get(PROJECTS, params={"filterBy": "colour==red"})
    assert (unknown.status_code, unknown.json()["complianceIssues"][0]["field"]) == (400, "filterBy")


async def test_a_project_is_found_by_its_id_and_by_its_name(served: Served) -> None:
    by_name = await found(served, "team-a")
    assert await found(served, by_name["id"]) == by_name
    assert by_name["clusterId"] == CLUSTER.uid
    assert by_name["parent"]["name"] == "research"


async def test_what_a_project_uses_is_told_per_node_pool(served: Served) -> None:
    project = await served.behind.get(Project, "team-a")
    used = ProjectStatus(allocated=1.5, non_preemptible=0.5, requested=2.0, fair_share=2.0)
    await served.behind.patch(project, {"status": used})
    await served.settled()
    status = (await found(served, "team-a", "viewer"))["status"]
    assert status["quotaStatus"]["allocated"] == {"gpu": 1.5}
    assert status["quotaStatus"]["allocatedNonPreemptible"] == {"gpu": 0.5}
    assert status["quotaStatus"]["requested"] == {"gpu": 2.0}
    (pool,) = status["nodePoolQuotaStatuses"]
    assert (pool["nodePoolName"], pool["allocated"]) == ("default", {"gpu": 1.5})


async def test_a_project_is_created_with_quotas_per_node_pool(served: Served) -> None:
    pool = await served.behind.create(NodePool(meta=Meta(name="a100")))
    await served.settled()
    sent = {
        "name": "team-c",
        "clusterId": CLUSTER.uid,
        "parentId": (await served.behind.get(Department, "research")).meta.uid,
        "resources": [
            resources(deserved=2, limit=4, overQuotaWeight=1) | {"cpu": {"deserved": -1, "limit": None}},
            resources(pool.meta.uid, deserved=1) | {"priority": "3"},
        ],
    }
    made = await served["admin"].post(PROJECTS, json=sent)
    assert made.status_code == 201, made.text
    stored = await served.behind.get(Project, "team-c")
    pools = {"a100": PoolQuota(quota=1.0, priority=3)}
    expected = ProjectSpec(quota=2.0, limit=4.0, over_quota_weight=1.0, department="research", pools=pools)
    assert stored.spec == expected
    assert gpus(made.json())["default"] == {"deserved": 2.0, "limit": 4.0, "overQuotaWeight": 1.0}
    assert made.json()["totalResources"] == {"gpuQuota": 3.0}
    again = await served["admin"].post(PROJECTS, json=sent)
    assert (again.status_code, again.json()["id"]) == (201, made.json()["id"])
    other = await served["admin"].post(PROJECTS, json=sent | {"resources": []})
    assert other.status_code == 409


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"resources": [{"cpu": {"deserved": 1000}}]}, "resources.0.cpu.deserved"),
        ({"resources": [{"memory": {"limit": 5, "units": "Mib"}}]}, "resources.0.memory.limit"),
        ({"resources": [resources("no-pool", deserved=1)]}, "resources.0.nodePool"),
        ({"resources": [resources(deserved=1), resources(deserved=2)]}, "resources.1.nodePool"),
        ({"resources": [{"priority": "urgent"}]}, "resources.priority"),
        ({"description": "ours"}, "description"),
        ({"schedulingRules": {"trainingJobTimeLimitSeconds": 5}}, "schedulingRules"),
        ({"parentId": "no-department"}, "parentId"),
        ({"clusterId": "another"}, "clusterId"),
        ({"colour": "red"}, "colour"),
        ({"resources": [resources(deserved=-3)]}, "spec.quota"),
    ],
    ids=str,
)
async def test_what_a_project_cannot_have_is_refused_by_name(served: Served, sent: dict[str, Any], field: str) -> None:
    answer = await served["admin"].post(PROJECTS, json={"name": "team-c", **sent})
    assert answer.status_code == 400, answer.text
    assert [issue["field"] for issue in answer.json()["complianceIssues"]] == [field]
    assert {one.meta.name for one in (await served.behind.list(Project)).items} == {"team-a", "team-b"}


async def test_put_replaces_quotas_and_patch_changes_those_that_are_named(served: Served) -> None:
    for name in ("a100", "h100"):
        await served.behind.create(NodePool(meta=Meta(name=name)))
    await served.settled()
    at, admin = f"{PROJECTS}/team-a", served["admin"]
    three = [resources(deserved=1), resources("a100", deserved=2, limit=6), resources("h100", deserved=3)]
    assert (await admin.put(at, json={"resources": three})).status_code == 200
    patched = await admin.patch(f"{at}/resources", json=[resources("a100", deserved=5)])
    assert {name: (one["deserved"], one["limit"]) for name, one in gpus(patched.json()).items()} == {
        "default": (1.0, None),
        "a100": (5.0, 6.0),
        "h100": (3.0, None),
    }
    replaced = await admin.put(f"{at}/resources", json=[resources(deserved=4)])
    assert {name: one["deserved"] for name, one in gpus(replaced.json()).items()} == dict.fromkeys(
        ("default", "a100", "h100"), 4.0
    )
    assert (await served.behind.get(Project, "team-a")).spec.department == "research"
    assert (await admin.put(at, json={"resources": replaced.json()["resources"]})).json() == replaced.json()
    out = await admin.patch(at, json={"parentId": None})
    assert (out.status_code, out.json()["parent"]) == (200, None)


async def test_a_body_that_a_client_sends_as_text_is_read(served: Served) -> None:
    answer = await served["admin"].patch(f"{PROJECTS}/team-a/resources", json='[{"gpu": {"deserved": 1}}]')
    assert (answer.status_code, gpus(answer.json())["default"]["deserved"]) == (200, 1.0)


@pytest.mark.parametrize("user", USERS)
async def test_quotas_are_seen_by_members_and_changed_by_admins(served: Served, user: str) -> None:
    sees = user not in ("outsider", "nobody")
    assert (await served[user].get(f"{PROJECTS}/team-a")).status_code == (200 if sees else 404)
    changes = user in ("admin", "department-admin", "project-admin")
    answer = await served[user].patch(f"{PROJECTS}/team-a/resources", json=[resources(deserved=3)])
    assert answer.status_code == (200 if changes else 403 if sees else 404), answer.text
    assert (await served.behind.get(Project, "team-a")).spec.quota == (3.0 if changes else 2.0)


async def test_a_lead_divides_what_his_department_has_and_no_more(served: Served) -> None:
    lead, at = served["project-admin"], f"{PROJECTS}/team-a/resources"
    refused = await lead.patch(at, json=[resources(deserved=9)])
    assert (refused.status_code, "has 8 GPUs" in refused.json()["message"]) == (403, True)
    assert (await lead.patch(at, json=[resources(deserved=8)])).status_code == 200


@pytest.mark.parametrize("user", USERS)
async def test_projects_are_created_and_deleted_by_admins(served: Served, user: str) -> None:
    wanted = {"admin": 201, "department-admin": 201}.get(user)
    answer = await served[user].post(PROJECTS, json={"name": "team-c", "parentId": "research"})
    assert answer.status_code == wanted if wanted else answer.status_code in (400, 403), answer.text
    deleted = await served[user].delete(f"{PROJECTS}/team-a")
    assert deleted.status_code == (204 if wanted else 404 if user in ("outsider", "nobody") else 403)


def refusal(answer: httpx.Response, name: str) -> tuple[int, str]:
    return answer.status_code, answer.text.replace(name, "NAME")


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_a_hidden_project_is_told_of_as_one_that_does_not_exist(served: Served, method: str) -> None:
    uid = (await served.behind.get(Project, "team-a")).meta.uid
    answers = set()
    for name in ("team-a", uid, "team-z"):
        sent = None if method in ("GET", "DELETE") else {"resources": [resources(deserved=1)]}
        answers.add(refusal(await served["outsider"].request(method, f"{PROJECTS}/{name}", json=sent), name))
    assert len(answers) == 1
    assert answers.pop()[0] == 404


async def test_departments_have_quotas_and_the_projects_that_the_caller_sees(served: Served) -> None:
    admin = served["admin"]
    made = await admin.post(DEPARTMENTS, json={"name": "sales", "resources": [resources(deserved=4)]})
    assert made.status_code == 201, made.text
    listed = (await admin.get(DEPARTMENTS)).json()["departments"]
    assert [(one["name"], [child["name"] for child in one["children"]]) for one in listed] == [
        ("research", ["team-a"]),
        ("sales", []),
    ]
    assert [one["name"] for one in (await served["viewer"].get(DEPARTMENTS)).json()["departments"]] == ["research"]
    changed = await admin.patch(f"{DEPARTMENTS}/sales/resources", json=[resources(limit=6)])
    assert gpus(changed.json())["default"] == {"deserved": 4.0, "limit": 6.0, "overQuotaWeight": 2.0}
    assert (await admin.delete(f"{DEPARTMENTS}/{made.json()['id']}")).status_code == 204
    assert (await admin.delete(f"{DEPARTMENTS}/research")).status_code == 409


async def test_members_are_told_to_those_who_may_give_roles(served: Served) -> None:
    for user, scope in (("eve", "project"), ("dan", "department")):
        given = {"subjectId": user, "subjectType": "user", "roleId": "viewer", "scopeType": scope}
        at = {"project": "team-a", "department": "research"}[scope]
        assert (await served["admin"].post("/access-rules", json=given | {"scopeId": at})).status_code == 201
    told = (await served["admin"].get(f"{PROJECTS}/team-a/members")).json()["members"]
    assert [(one["subjectId"], one["role"], one["scopeType"]) for one in told] == [
        ("dan", "viewer", "department"),
        ("eve", "viewer", "project"),
    ]
    told = (await served["admin"].get(f"{DEPARTMENTS}/research/members")).json()["members"]
    assert [one["subjectId"] for one in told] == ["dan"]
    assert (await served["viewer"].get(f"{PROJECTS}/team-a/members")).status_code == 403
    assert (await served["outsider"].get(f"{PROJECTS}/team-a/members")).status_code == 404


async def test_departments_without_a_quota_are_sorted_as_having_none(served: Served) -> None:
    assert (await served["admin"].post(DEPARTMENTS, json={"name": "sales"})).status_code == 201
    listed = await served["admin"].get(DEPARTMENTS, params={"sortBy": "totalGpuQuota"})
    assert [one["name"] for one in listed.json()["departments"]] == ["sales", "research"]
    assert listed.json()["departments"][0]["resources"][0]["gpu"]["deserved"] is None
