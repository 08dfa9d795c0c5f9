"""The HTTP of the API as a client without our library sees it."""

from __future__ import annotations

import json
import os
import pwd
from typing import Any

import pytest

from tests.migctl.api.conftest import Served
from tests.migctl.backends.contract import samples

pytestmark = pytest.mark.anyio

ROOT = "/apis/migctl.dev/v1alpha1"
BODY: dict[str, Any] = {
    "kind": "Workload",
    "meta": {"name": "w", "project": "team-a"},
    "spec": {"type": "training", "gpuRequest": {"fraction": 0.5}},
}


async def test_a_list_says_what_it_is(served: Served) -> None:
    answer = await served.http.get(f"{ROOT}/projects")
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert (body["apiVersion"], body["kind"]) == ("migctl.dev/v1alpha1", "ProjectList")
    assert [(item["kind"], item["meta"]["name"]) for item in body["items"]] == [("Project", "team-a")]
    assert body["version"]


async def test_a_workload_is_created_for_its_sender_with_the_priority_of_its_type(served: Served) -> None:
    spec = {"type": "workspace", "preemptible": False, "gpuRequest": {"fraction": 0.5}}
    answer = await served.http.post(f"{ROOT}/workloads", json=BODY | {"spec": spec})
    assert answer.status_code == 201
    body = answer.json()
    assert body["spec"]["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert body["spec"]["priority"] == 100
    created = await served.http.post(
        f"{ROOT}/workloads", json=BODY | {"meta": {"name": "x", "project": "team-a"}, "spec": spec | {"user": "ana"}}
    )
    assert created.json()["spec"]["user"] == "ana"


WRONG: dict[str, tuple[str, str, Any, int, str, str]] = {
    "no JSON": ("POST", "/workloads", b"{", 400, "Invalid", ""),
    "a list": ("POST", "/workloads", [], 400, "Invalid", ""),
    "another kind": ("POST", "/workloads", BODY | {"kind": "Project"}, 400, "Invalid", "kind"),
    "an unknown field": ("POST", "/workloads", BODY | {"colour": 1}, 400, "Invalid", ""),
    "a wrong type": (
        "POST",
        "/workloads",
        BODY | {"spec": {"type": "x", "gpuRequest": {}}},
        400,
        "Invalid",
        "spec.type",
    ),
    "a fraction of 1.5": (
        "POST",
        "/workloads",
        BODY | {"spec": {"type": "training", "gpuRequest": {"fraction": 1.5}}},
        400,
        "Invalid",
        "spec.gpuRequest.fraction",
    ),
    "an unknown project": (
        "POST",
        "/workloads",
        BODY | {"meta": {"name": "w", "project": "nobody"}},
        404,
        "NotFound",
        "",
    ),
    "a bad quota": (
        "POST",
        "/projects",
        {"kind": "Project", "meta": {"name": "p"}, "spec": {"quota": -5}},
        400,
        "Invalid",
        "spec.quota",
    ),
    "a taken name": ("POST", "/projects", {"kind": "Project", "meta": {"name": "team-a"}}, 409, "AlreadyExists", ""),
    "unknown objects": ("GET", "/recipes", None, 404, "NotFound", ""),
    "a missing object": ("GET", "/nodes/n", None, 404, "NotFound", ""),
    "a patch without uid": ("PATCH", "/projects/team-a", {}, 400, "Invalid", "uid"),
    "a patch that is a list": ("PATCH", "/projects/team-a?uid=uid-1", [], 400, "Invalid", ""),
    "a patch that is no JSON": ("PATCH", "/projects/team-a?uid=uid-1", b"{", 400, "Invalid", ""),
    "a patch of a successor": ("PATCH", "/projects/team-a?uid=other", {}, 404, "NotFound", ""),
    "a late patch": ("PATCH", "/projects/team-a?uid=uid-1&version=0", {}, 409, "Conflict", ""),
    "a deletion of a successor": ("DELETE", "/projects/team-a?uid=other", None, 404, "NotFound", ""),
    "a tail of -1": ("GET", "/workloads/w/log?project=team-a&tail=-1", None, 400, "Invalid", "tail"),
    "the log of nobody": ("GET", "/workloads/w/log?project=team-a", None, 404, "NotFound", ""),
    "another method": ("PUT", "/projects", None, 405, "NotAllowed", ""),
}


@pytest.mark.parametrize(("method", "path", "body", "status", "code", "field"), WRONG.values(), ids=WRONG.keys())
async def test_an_error_has_code_message_details_and_changes_nothing(
    served: Served, method: str, path: str, body: Any, status: int, code: str, field: str
) -> None:
    before = (await served.remote.list(type(samples.project("p")))).version
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await served.http.request(method, ROOT + path, content=content)
    error = answer.json()
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"]
    assert set(error) == {"code", "message", "details", "hint"}
    assert error["details"].get("field", "") == field
    assert (await served.remote.list(type(samples.project("p")))).version == before


async def test_outside_the_api_there_is_nothing(served: Served) -> None:
    answer = await served.http.get("/etc/passwd")
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")


async def test_health_and_readiness(served: Served) -> None:
    assert (await served.http.get("/healthz")).status_code == 200
    assert (await served.http.get("/readyz")).status_code == 200
    served.ready = False
    answer = await served.http.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "Unavailable")
    assert (await served.http.get("/healthz")).status_code == 200


async def test_a_watch_beats_in_silence_and_tells_its_error_in_line(served: Served) -> None:
    since = (await served.http.get(f"{ROOT}/nodes")).json()["version"]
    async with served.http.stream("GET", f"{ROOT}/nodes?watch=true&since={since}") as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"\n"
        await served.behind.create(samples.node("n"))
        while (piece := await anext(pieces)) == b"\n":
            continue
        line = json.loads(piece)
        assert (line["type"], line["object"]["meta"]["name"]) == ("ADDED", "n")
    async with served.http.stream("GET", f"{ROOT}/nodes?watch=true&since=soon") as answer:
        line = json.loads(await answer.aread())
        assert (line["type"], line["error"]["code"]) == ("ERROR", "Expired")


async def test_a_bug_is_an_error_of_its_own_and_the_server_goes_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(served.behind, "get", broken)
    answer = await served.http.get(f"{ROOT}/nodes/n")
    assert (answer.status_code, answer.json()["code"]) == (500, "Internal")
    assert (await served.http.get(f"{ROOT}/nodes")).status_code == 200
