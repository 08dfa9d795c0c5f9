"""The REST API against a real API server: its tokens, its RBAC, and writes with the caller's own token."""

from __future__ import annotations

import asyncio
import json
import shlex
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.cluster import processes
from tests.cluster.harness import Harness
from tests.cluster.workloads import FOREVER

pytestmark = pytest.mark.anyio

RBAC = "rbac.authorization.k8s.io"


class Rest:
    """The API as a process with its own service account, and its callers."""

    def __init__(self, cluster: Harness, project: str, base: str) -> None:
        self.cluster, self.project, self.base = cluster, project, base

    async def post(self, api: str, kind: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create something of the project at the API server."""
        root = "/api/v1" if api in ("v1", "authentication.k8s.io/v1") else f"/apis/{api}"
        whole = json.dumps({"apiVersion": api, "kind": kind, **body}).encode()
        where = f"{root}/namespaces/{self.project}/{path}"
        answer = await self.cluster.api.transport.request("POST", where, body=whole)
        found: dict[str, Any] = json.loads(answer)
        return found

    async def account(self, name: str, role: str = "") -> str:
        """A token of a new service account of the project that has a role there."""
        await self.post("v1", "ServiceAccount", "serviceaccounts", {"metadata": {"name": name}})
        if role:
            subject = {"kind": "ServiceAccount", "name": name, "namespace": self.project}
            reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
            binding = {"metadata": {"name": name}, "subjects": [subject], "roleRef": reference}
            await self.post(f"{RBAC}/v1", "RoleBinding", "rolebindings", binding)
        spec = {"audiences": [], "expirationSeconds": 3600}
        path = f"serviceaccounts/{name}/token"
        answer = await self.post("authentication.k8s.io/v1", "TokenRequest", path, {"spec": spec})
        return str(answer["status"]["token"])

    def caller(self, token: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{self.base}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def submission(self, name: str, *command: str) -> dict[str, Any]:
        half = {"gpuDevicesRequest": 1, "gpuRequestType": "portion", "gpuPortionRequest": 0.5}
        run = {"command": "sh", "args": f"-c {shlex.quote(' '.join(command))}"}
        spec = {"image": self.cluster.place.image, "compute": half, **run}
        return {"name": name, "projectId": self.project, "spec": spec}


@asynccontextmanager
async def serving(cluster: Harness, project: str) -> AsyncIterator[Rest]:
    own = await processes.kubeconfig_of(cluster.api, cluster.place, "migctl-api", cluster.folder / "api.kubeconfig")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        port, health = one.getsockname()[1], other.getsockname()[1]
    options = ("--kubeconfig", str(own), "--host", "127.0.0.1", "--port", str(port), "--health-port", str(health))
    async with processes.process(cluster.folder / "api.log", "migctl.cluster_api", *options):

        async def ready() -> bool:
            try:
                async with httpx.AsyncClient() as client:
                    return (await client.get(f"http://127.0.0.1:{health}/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await cluster.until(ready)
        yield Rest(cluster, project, f"http://127.0.0.1:{port}")


async def test_a_day_of_a_program_that_may_edit(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("rest", quota=1)
    async with serving(cluster, project) as rest, AsyncExitStack() as stack:
        token = await rest.account("ci", "edit")
        ci = await stack.enter_async_context(rest.caller(token))
        answer = await ci.post("/token", json={"grantType": "app_token", "AppId": "ci", "AppSecret": token})
        assert answer.json()["accessToken"] == token
        assert 0 < answer.json()["expiresIn"] <= 3700
        assert (await ci.get("/me")).json()["through"] == f"service account {project}/ci"
        sent = rest.submission("train", "echo hello;", FOREVER)
        made = await ci.post("/workloads/trainings", json=sent)
        assert made.status_code == 202, made.text
        uid = made.json()["workloadId"]
        assert (await ci.post("/workloads/trainings", json=sent)).json()["workloadId"] == uid, "the same, sent again"

        async def running() -> bool:
            return bool((await ci.get(f"/workloads/trainings/{uid}")).json()["actualPhase"] == "Running")

        await cluster.until(running)
        assert (await ci.get(f"/workloads/{uid}/logs")).text == "hello\n"
        assert [one["name"] for one in (await ci.get("/workloads")).json()["workloads"]] == ["train"]
        job = await cluster.find("jobs", "train", project)
        assert job is not None
        assert any(one["manager"] != "migctl-test" for one in job["metadata"]["managedFields"])
        assert (await ci.post(f"/workloads/trainings/{uid}/suspend")).status_code == 202

        async def stopped() -> bool:
            return bool((await ci.get(f"/workloads/trainings/{uid}")).json()["actualPhase"] == "Stopped")

        await cluster.until(stopped)
        assert (await ci.delete(f"/workloads/trainings/{uid}")).status_code == 202

        async def gone() -> bool:
            return (await ci.get(f"/workloads/trainings/{uid}")).status_code == 404

        await cluster.until(gone)


async def test_who_may_not_sees_and_does_nothing(cluster: Harness) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("rest", quota=1)
    async with serving(cluster, project) as rest, AsyncExitStack() as stack:
        ci, looker, stranger = [
            await stack.enter_async_context(rest.caller(await rest.account(name, role)))
            for name, role in (("ci", "edit"), ("looker", "view"), ("stranger", ""))
        ]
        made = await ci.post("/workloads/trainings", json=rest.submission("train", FOREVER))
        uid = made.json()["workloadId"]

        async def seen() -> bool:
            return (await looker.get(f"/workloads/{uid}")).status_code == 200

        await cluster.until(seen)
        assert (await looker.delete(f"/workloads/trainings/{uid}")).status_code == 403
        assert (await looker.post("/workloads/trainings", json=rest.submission("more", FOREVER))).status_code == 403
        unknown = "f" * len(uid)
        for method, path in (("GET", "/workloads/{}"), ("DELETE", "/workloads/trainings/{}")):
            answers = [await stranger.request(method, path.format(one)) for one in (uid, unknown)]
            told = [(a.status_code, a.text.replace(uid, "ID").replace(unknown, "ID")) for a in answers]
            assert told[0] == told[1]
            assert told[0][0] in (403, 404)
        assert (await stranger.get("/workloads/count")).json()["count"] == 0
        assert (await stranger.post("/workloads/trainings", json=rest.submission("more", FOREVER))).status_code == 403
        nobody = await stack.enter_async_context(rest.caller("not-a-token"))
        assert (await nobody.get("/me")).status_code == 401


async def test_a_token_ends_with_its_account(cluster: Harness) -> None:
    project = await cluster.project("rest", quota=1)
    async with serving(cluster, project) as rest, rest.caller(await rest.account("ci", "view")) as ci:
        assert (await ci.get("/me")).status_code == 200
        path = f"/api/v1/namespaces/{project}/serviceaccounts/ci"
        await cluster.api.transport.request("DELETE", path)

        async def ended() -> bool:
            return (await ci.get("/me")).status_code == 401

        await cluster.until(ended)


async def test_the_api_itself_may_write_nothing(cluster: Harness) -> None:
    project = await cluster.project("rest", quota=1)
    account = "system:serviceaccount:migctl-system:migctl-api"

    async def may(verb: str, group: str, resource: str) -> bool:
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": project}
        spec = {"user": account, "groups": ["system:authenticated"], "resourceAttributes": attributes}
        api, kind = "authorization.k8s.io/v1", "SubjectAccessReview"
        body = json.dumps({"apiVersion": api, "kind": kind, "spec": spec}).encode()
        path = f"/apis/{api}/subjectaccessreviews"
        answer = json.loads(await cluster.api.transport.request("POST", path, body=body))
        return bool(answer["status"]["allowed"])

    things = [("", "pods"), ("batch", "jobs"), ("apps", "deployments"), ("migctl.dev", "projects"), ("", "nodes")]
    verbs = ("create", "update", "patch", "delete", "deletecollection", "impersonate")
    allowed = await asyncio.gather(*(may(verb, *thing) for verb in verbs for thing in things))
    assert not any(allowed)
    assert not await may("get", "", "secrets")
    assert await may("list", "", "pods")
