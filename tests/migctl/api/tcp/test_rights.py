"""What a caller may do on TCP, through both APIs; his streams end with his access."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from migctl.objects import AccessToken, Project, Role
from tests.limits import WAIT_S
from tests.migctl.api.tcp.conftest import OBJECTS, Tcp
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio


TRAINING = {
    "kind": "Workload",
    "meta": {"name": "mine", "project": "team-a"},
    "spec": {"type": "training", "user": "bob", "gpuRequest": {"devices": 1}},
}


async def lines(stream: httpx.Response) -> AsyncIterator[dict[str, object]]:
    async for line in stream.aiter_lines():
        if line:
            yield json.loads(line)


async def test_a_member_sees_his_project_and_nothing_tells_of_another(tcp: Tcp) -> None:
    await tcp.admitting.create(samples.workload("mine", "team-a"))
    await tcp.admitting.create(samples.workload("theirs", "team-b"))
    headers = await tcp.as_("ada", Role.VIEWER, project="team-a")
    listed = (await tcp.get(f"{OBJECTS}/workloads", headers)).json()["items"]
    assert [one["meta"]["name"] for one in listed] == ["mine"]
    for path in ("workloads/{}?project=team-b", "workloads/{}/log?project=team-b"):
        hidden = await tcp.get(f"{OBJECTS}/{path.format('theirs')}", headers)
        missing = await tcp.get(f"{OBJECTS}/{path.format('nothing')}", headers)
        assert (hidden.status_code, hidden.json()) == (missing.status_code, missing.json()) == (403, missing.json())
    hidden = await tcp.get(f"{OBJECTS}/projects/team-b", headers)
    missing = await tcp.get(f"{OBJECTS}/projects/team-x", headers)
    assert (hidden.status_code, hidden.text.replace("team-b", "team-x")) == (missing.status_code, missing.text)


async def test_a_researcher_changes_his_own_work_only(tcp: Tcp) -> None:
    ada = await tcp.as_("ada", Role.RESEARCHER, project="team-a")
    bob = await tcp.as_("bob", Role.RESEARCHER, project="team-a")
    body = TRAINING
    made = await tcp.http.post(f"{OBJECTS}/workloads", json=body, headers=ada)
    assert (made.status_code, made.json()["spec"]["user"]) == (201, "ada")
    path = f"{OBJECTS}/workloads/mine?project=team-a&uid={made.json()['meta']['uid']}"
    assert (await tcp.http.patch(path, json={"spec": {"suspended": True}}, headers=bob)).status_code == 403
    assert (await tcp.http.delete(path, headers=bob)).status_code == 403
    assert (await tcp.http.patch(path, json={"status": {"phase": "Running"}}, headers=ada)).status_code == 403
    assert (await tcp.http.patch(path, json={"spec": {"suspended": True}}, headers=ada)).status_code == 200
    assert (await tcp.http.delete(path, headers=ada)).status_code == 204


async def test_a_command_beside_a_workload_is_for_the_machine_itself(tcp: Tcp) -> None:
    await tcp.admitting.create(samples.workload("w", "team-a"))
    answer = await tcp.get(f"{OBJECTS}/workloads/w/exec-environment?project=team-a", await tcp.as_("root", Role.ADMIN))
    assert (answer.status_code, answer.json()["code"]) == (403, "Forbidden")


async def test_a_verdict_is_for_who_may_submit(tcp: Tcp) -> None:
    body, viewer = TRAINING, await tcp.as_("v", Role.VIEWER)
    assert (await tcp.http.post(f"{OBJECTS}/workloads/verdict", json=body, headers=viewer)).status_code == 403
    researcher = await tcp.as_("r", Role.RESEARCHER, project="team-a")
    assert (await tcp.http.post(f"{OBJECTS}/workloads/verdict", json=body, headers=researcher)).status_code == 200


async def watching(tcp: Tcp, headers: dict[str, str], end: Callable[[], Awaitable[object]]) -> list[dict[str, object]]:
    """What a watch of projects tells, which begins before `end` and ends by it."""
    version = (await tcp.get(f"{OBJECTS}/projects", headers)).json()["version"]
    async with (
        asyncio.timeout(WAIT_S),
        tcp.http.stream("GET", f"{OBJECTS}/projects?watch=true&since={version}", headers=headers) as stream,
    ):
        assert stream.status_code == 200
        await end()
        return [line async for line in lines(stream)]


async def test_a_watch_ends_when_its_token_is_deleted(tcp: Tcp) -> None:
    token = await tcp.token("ci", Role.VIEWER)
    (last,) = await watching(tcp, await tcp.bearer("ci"), lambda: tcp.admitting.delete(token))
    assert (last["type"], last["error"]["code"]) == ("ERROR", "Unauthenticated")  # type: ignore[index]


async def test_a_watch_goes_on_when_something_else_changes(tcp: Tcp) -> None:
    token, other = await tcp.token("ci", Role.VIEWER), await tcp.token("other", Role.VIEWER)

    async def end() -> None:
        await tcp.admitting.delete(other)
        stored = await tcp.behind.get(Project, "team-a")
        await tcp.behind.patch(stored, {"spec": {"quota": 3.0}})
        await tcp.admitting.delete(token)

    told = await watching(tcp, await tcp.bearer("ci"), end)
    assert [line["type"] for line in told] in (["MODIFIED", "ERROR"], ["ERROR"])


async def test_a_watch_ends_when_its_token_expires(tcp: Tcp) -> None:
    admin = await tcp.as_("root", Role.ADMIN)
    asked = {"name": "ci", "role": "viewer", "ttlSeconds": 60}
    tcp.secrets["ci"] = (await tcp.http.post("/api/v1/access-keys", json=asked, headers=admin)).json()["clientSecret"]

    async def end() -> None:
        tcp.clock.advance(60)
        await tcp.admitting.delete(await tcp.behind.get(AccessToken, "root"))  # any change: it looks at the clock

    (last,) = await watching(tcp, await tcp.bearer("ci"), end)
    assert last["type"] == "ERROR"


@pytest.mark.parametrize(
    "path", [f"{OBJECTS}/workloads/w/log?project=team-a&follow=true", "/api/v1/workloads/{}/logs?follow=true"]
)
async def test_a_log_ends_when_its_token_is_deleted(tcp: Tcp, path: str) -> None:
    created = await tcp.admitting.create(samples.workload("w", "team-a"))
    await tcp.settled()
    tcp.runtime.output["w"] = [b"first\n"]
    token = await tcp.token("ci", Role.VIEWER, project="team-a")
    path = path.format(created.meta.uid)
    async with asyncio.timeout(WAIT_S), tcp.http.stream("GET", path, headers=await tcp.bearer("ci")) as stream:
        pieces = stream.aiter_bytes()
        assert await anext(pieces) == b"first\n"
        await tcp.admitting.delete(token)
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in pieces:
                pass
    async with asyncio.timeout(WAIT_S):
        await tcp.runtime.idle.wait()


async def test_a_rule_for_an_application_adds_to_its_token(tcp: Tcp) -> None:
    headers, admin = await tcp.as_("ci", Role.VIEWER, project="team-a"), await tcp.as_("root", Role.ADMIN)
    asked = {"subjectId": "ci", "subjectType": "app", "roleId": "viewer", "scopeType": "project", "scopeId": "team-b"}
    made = await tcp.http.post("/api/v1/access-rules", json=asked, headers=admin)
    assert (made.status_code, made.json()["subjectType"]) == (201, "app")
    assert len((await tcp.get("/api/v1/me", headers)).json()["roles"]) == 2
    assert (await tcp.http.delete(f"/api/v1/access-rules/{made.json()['id']}", headers=admin)).status_code == 204
    assert len((await tcp.get("/api/v1/me", headers)).json()["roles"]) == 1


async def test_rules_are_listed_by_subject_and_are_there_once(tcp: Tcp) -> None:
    lead = await tcp.as_("lead", Role.PROJECT_ADMIN, project="team-a")
    project = (await tcp.behind.get(Project, "team-a")).meta.uid
    asked = {"subjectId": "ada@example.org", "role": "researcher", "scopeType": "project", "scopeId": project}
    assert (await tcp.http.post("/api/v1/access-rules", json=asked, headers=lead)).status_code == 201
    assert (await tcp.http.post("/api/v1/access-rules", json=asked, headers=lead)).status_code == 409
    assert (
        await tcp.http.post(
            "/api/v1/access-rules", json={**asked, "role": "admin", "scopeType": "system"}, headers=lead
        )
    ).status_code == 403
    rules = (await tcp.get("/api/v1/access-rules?subjectId=ada@example.org", lead)).json()["accessRules"]
    assert [(rule["roleId"], rule["scopeId"], rule["scopeName"], rule["createdBy"]) for rule in rules] == [
        ("researcher", project, "team-a", "lead")
    ]
    outsider = await tcp.as_("out", Role.PROJECT_ADMIN, project="team-b")
    assert (await tcp.get("/api/v1/access-rules", outsider)).json()["accessRules"] == []
    assert (await tcp.get("/api/v1/access-rules", await tcp.as_("v", Role.VIEWER))).json()["accessRules"] == []


async def test_the_audit_trail_tells_changes_refusals_and_sign_ins_and_never_a_secret(tcp: Tcp) -> None:
    admin, viewer = await tcp.as_("root", Role.ADMIN), await tcp.as_("v", Role.VIEWER, project="team-a")
    body = {"kind": "Project", "meta": {"name": "new"}, "spec": {"quota": 1.0}}
    made = await tcp.http.post(f"{OBJECTS}/projects", json=body, headers={**admin, "X-Request-ID": "r-1"})
    await tcp.http.post(f"{OBJECTS}/projects", json=body, headers=viewer)
    await tcp.exchange("v", "guess")
    asked = {"name": "key", "role": "viewer", "scopeType": "project", "scopeId": "team-a"}
    secret = (await tcp.http.post("/api/v1/access-keys", json=asked, headers=admin)).json()["clientSecret"]
    told = [(e.user, e.through, e.verb, e.kind, e.name, e.project, e.status) for e in tcp.told()]
    assert ("root", "token root", "create", "projects", "new", "new", 201) in told
    assert ("v", "token v", "create", "projects", "new", "new", 403) in told
    assert ("", "", "login", "session", "v", "", 401) in told
    created = next(e for e in tcp.told() if e.verb == "create" and e.status == 201 and e.kind == "projects")
    assert (created.uid, created.request, created.origin) == (made.json()["meta"]["uid"], "r-1", "127.0.0.1")
    text = json.dumps([str(entry) for entry in tcp.told()])
    assert not any(word in text for word in (secret, "guess", "secret-of-", admin["Authorization"].split()[1]))


async def test_a_lead_reads_the_trail_of_his_project_only(tcp: Tcp) -> None:
    admin, lead = await tcp.as_("root", Role.ADMIN), await tcp.as_("lead", Role.PROJECT_ADMIN, project="team-a")
    for project in ("team-a", "team-b"):
        asked = {"name": f"of-{project}", "role": "viewer", "scopeType": "project", "scopeId": project}
        await tcp.http.post("/api/v1/access-keys", json=asked, headers=admin)
    entries = (await tcp.get("/api/v1/audit", lead)).json()["entries"]
    assert [entry["name"] for entry in entries] == ["of-team-a"]
    assert (await tcp.get("/api/v1/audit?project=team-b", lead)).json()["entries"] == []
    assert (await tcp.get("/api/v1/audit", await tcp.as_("v", Role.VIEWER))).status_code == 403
    every = (await tcp.get("/api/v1/audit?limit=500", admin)).json()["entries"]
    assert {entry["name"] for entry in every} >= {"of-team-a", "of-team-b", "root", "lead"}
    assert (await tcp.get("/api/v1/audit?since=2031-01-01T00:00:00Z", admin)).json()["entries"] == []
    assert (await tcp.get("/api/v1/audit?since=yesterday", admin)).status_code == 400
