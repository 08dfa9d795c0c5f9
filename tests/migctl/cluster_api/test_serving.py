"""The API as a process serves it: its ports, TLS, signals, and streams that end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from migctl.api.tcp import certificates
from migctl.backends.protocol import ChangeType, ControlPlaneError, Expired, Forbidden, Unauthenticated, Unavailable
from migctl.clock import system_clock
from migctl.cluster_api.process import ClusterApiSettings, cluster_service
from migctl.cluster_api.serving import CERTIFICATE, KEY, Endpoints, serving
from migctl.objects import GpuNode, Workload
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.faults import Call
from tests.fakes.kubernetes_cluster.cluster import QUICK
from tests.limits import WAIT_S
from tests.migctl.cluster_api.conftest import TOKENS, ServedCluster, transport
from tests.migctl.cluster_api.test_rights import submission

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def listening(served: ServedCluster, tls: Path | None = None) -> AsyncIterator[tuple[str, str]]:
    """The URLs of the API and of probes."""
    async with serving(served.service, Endpoints("127.0.0.1", 0, 0, tls)) as (api, health):
        yield api.url, health.url


def bearer(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[user]}"}


async def test_the_api_is_on_one_port_and_probes_ask_another(served: ServedCluster) -> None:
    async with listening(served) as (api, health), httpx.AsyncClient() as client:
        assert (await client.get(f"{health}/healthz")).status_code == 200
        assert (await client.get(f"{health}/readyz")).status_code == 200
        assert (await client.get(f"{health}/api/v1/me", headers=bearer("admin"))).status_code == 404
        answer = await client.get(f"{api}/api/v1/me", headers=bearer("editor"))
        assert answer.json()["user"] == "editor"
        assert answer.headers["x-request-id"]
        assert (await client.get(f"{api}/docs")).status_code == 200
        assert (await client.get(f"{api}/objects/workloads", headers=bearer("admin"))).status_code == 404


async def test_it_is_not_ready_before_it_has_seen_the_cluster(served: ServedCluster) -> None:
    """While the API server answers lists of nodes with an error, and as soon as it answers them."""
    refused: list[str] = []

    def without_nodes(call: Call) -> Refused | None:
        if call.method != "GET" or not call.path.endswith("/gpunodes"):
            return None
        refused.append(call.path)
        return Refused(503, "ServiceUnavailable", "not yet")

    faults = served.cluster.server.faults.before
    faults.append(without_nodes)
    settings = ClusterApiSettings(watches=QUICK.watches)
    async with (
        transport(served.cluster.server.url, "migctl-system:migctl-api") as own,
        cluster_service(own, system_clock, settings) as blind,
        serving(blind, Endpoints("127.0.0.1", 0, 0)) as (api, health),
        httpx.AsyncClient() as client,
    ):
        following = asyncio.create_task(blind.view.run())
        await served.until(lambda: refused)
        assert (await client.get(f"{health.url}/healthz")).status_code == 200
        assert (await client.get(f"{health.url}/readyz")).status_code == 503
        assert (await client.get(f"{api.url}/api/v1/workloads", headers=bearer("admin"))).status_code == 503
        faults.remove(without_nodes)
        await served.until(lambda: blind.view.synced)
        assert (await client.get(f"{health.url}/readyz")).status_code == 200
        assert (await client.get(f"{api.url}/api/v1/workloads", headers=bearer("admin"))).status_code == 200
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_it_has_tls_where_there_is_a_certificate(served: ServedCluster, tmp_path: Path) -> None:
    certificate, key = certificates.self_signed(tmp_path / "made", "localhost", system_clock())
    shutil.copy(certificate, tmp_path / CERTIFICATE)
    shutil.copy(key, tmp_path / KEY)
    async with listening(served, tmp_path) as (api, health), httpx.AsyncClient(verify=False) as client:
        assert (api.split(":")[0], health.split(":")[0]) == ("https", "http")
        assert (await client.get(f"{api}/api/v1/me", headers=bearer("editor"))).status_code == 200


async def test_a_renewed_certificate_is_used_without_a_restart(
    served: ServedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migctl.cluster_api.serving.CERTIFICATE_CHECK_S", 0.02)

    def put(name: str) -> str:
        certificate, key = certificates.self_signed(tmp_path / name, "localhost", system_clock())
        shutil.copy(certificate, tmp_path / CERTIFICATE)
        shutil.copy(key, tmp_path / KEY)
        return ssl.PEM_cert_to_DER_cert(certificate.read_text()).hex()

    def shown(url: str) -> str:
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", int(url.rpartition(":")[2])))).hex()

    first = put("first")
    async with listening(served, tmp_path) as (api, _):
        assert await asyncio.to_thread(shown, api) == first
        second = put("second")
        async with asyncio.timeout(WAIT_S):
            while await asyncio.to_thread(shown, api) != second:
                await asyncio.sleep(0.02)


async def test_without_the_secret_it_is_served_without_tls(served: ServedCluster, tmp_path: Path) -> None:
    async with listening(served, tmp_path / "absent") as (api, _):
        assert api.startswith("http:")


@pytest.mark.parametrize(
    "grant", [("app_token", "AppId", "AppSecret"), ("client_credentials", "clientID", "clientSecret")]
)
async def test_a_service_accounts_token_is_the_secret_and_the_answer(
    served: ServedCluster, grant: tuple[str, str, str]
) -> None:
    kind, name, secret = grant
    body = {"grantType": kind, name: "ci", secret: TOKENS["ci"]}
    answer = await served["unknown"].post("/token", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["accessToken"] == TOKENS["ci"]
    left = datetime(2100, 1, 1).timestamp() - system_clock().timestamp()
    assert abs(answer.json()["expiresIn"] - left) < 2 * 86400
    served.cluster.server.tokens.ended.add("wrong")
    assert (await served["unknown"].post("/token", json={**body, secret: "wrong"})).status_code == 401


class Following:
    """A watch of a caller, and what came of it."""

    def __init__(self, served: ServedCluster, user: str) -> None:
        self.served, self.user = served, user
        self.changes: list[tuple[ChangeType, str]] = []
        self.error: ControlPlaneError | None = None

    async def run(self) -> None:
        door = await self.served.service.callers_door(await self.served.service.reviews.identity(TOKENS[self.user]))
        listing = await door.control.list(Workload)
        self.changes += [(ChangeType.ADDED, one.meta.name) for one in listing.items]
        try:
            async for change in door.control.watch(Workload, listing.version):
                self.changes.append((change.type, change.object.meta.name))
        except ControlPlaneError as error:
            self.error = error

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.changes}


@contextlib.asynccontextmanager
async def following(served: ServedCluster, user: str) -> AsyncIterator[Following]:
    served.service.reviews.kept_s = 0.02
    found = Following(served, user)
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def submitted(served: ServedCluster, user: str, name: str, project: str = "team-a") -> str:
    answer = await served[user].post("/workloads/trainings", json=submission(name, project=project))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["workloadId"])


async def test_a_watch_tells_of_what_its_caller_may_see(served: ServedCluster) -> None:
    await submitted(served, "editor", "before")
    async with following(served, "viewer") as seen, following(served, "outsider") as other:
        await served.until(lambda: seen.names == {"before"})
        uid = await submitted(served, "editor", "later")
        await submitted(served, "outsider", "elsewhere", "team-b")
        await served.until(lambda: "later" in seen.names and "elsewhere" in other.names)
        await served["editor"].delete(f"/workloads/trainings/{uid}")
        await served.until(lambda: (ChangeType.DELETED, "later") in seen.changes)
        assert seen.names == {"before", "later"}
        assert other.names == {"elsewhere"}


async def test_a_stream_ends_with_the_token(served: ServedCluster) -> None:
    async with following(served, "viewer") as seen:
        await submitted(served, "editor", "job")
        await served.until(lambda: "job" in seen.names)
        served.cluster.server.tokens.ended.add(TOKENS["viewer"])
        served.passed()
        await served.until(lambda: isinstance(seen.error, Unauthenticated))


async def test_a_stream_ends_with_the_right(served: ServedCluster) -> None:
    async with following(served, "viewer") as seen:
        await submitted(served, "editor", "job")
        await served.until(lambda: "job" in seen.names)
        del served.cluster.operations.authorizer.local_rules["viewer", "team-a"]
        served.passed()
        await served.until(lambda: isinstance(seen.error, Forbidden))


async def test_a_stream_ends_where_nobody_answers_for_its_caller_any_more(served: ServedCluster) -> None:
    async with following(served, "viewer") as seen:
        await submitted(served, "editor", "job")
        await served.until(lambda: "job" in seen.names)
        served.cluster.server.faults.before.append(
            lambda call: Refused(500, "InternalError", "away") if call.path.endswith("reviews") else None
        )
        served.passed()
        await served.until(lambda: isinstance(seen.error, Unavailable))


async def test_output_is_read_with_the_callers_token_and_ends_with_it(served: ServedCluster) -> None:
    async def log(request: web.Request, match: object) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first line\n")
        await asyncio.sleep(WAIT_S)
        return response

    served.cluster.server.extras["log"] = log
    served.service.reviews.kept_s = 0.02
    uid = await submitted(served, "editor", "job")
    pods = served.cluster.operations.storage
    await served.until(lambda: any(p["status"].get("phase") == "Running" for p in pods.all("pods", "team-a")))
    door = await served.service.callers_door(await served.service.reviews.identity(TOKENS["viewer"]))
    workload = next(one for one in served.service.view.all(Workload) if one.meta.uid == uid)
    output = await door.service.runtime.logs(workload, True, None)
    assert await anext(output) == b"first line\n"
    read = [call.user for call in served.cluster.server.faults.calls if call.path.endswith("/log")]
    assert read == ["viewer"]
    served.cluster.server.tokens.ended.add(TOKENS["viewer"])
    served.passed()
    with pytest.raises(Unauthenticated):
        async with asyncio.timeout(WAIT_S):
            await anext(output)


async def test_a_watch_of_another_process_begins_anew(served: ServedCluster) -> None:
    door = await served.service.callers_door(await served.service.reviews.identity("admin"))
    with pytest.raises(Expired):
        await anext(aiter(door.control.watch(GpuNode, "0123456789ab.7")))


async def test_a_node_shows_labels_and_cordons_to_those_who_may_see_nodes(served: ServedCluster) -> None:
    for user, sees in (("gpu-admin", True), ("editor", False)):
        door = await served.service.callers_door(await served.service.reviews.identity(TOKENS[user]))
        node = door.seen.get(GpuNode, "node-a")
        assert node is not None
        assert ("kubernetes.io/hostname" in node.meta.labels) == sees, user
        assert (await door.control.get(GpuNode, "node-a")) == node


async def test_a_project_is_its_namespace_and_rbac_says_who_is_in_it(served: ServedCluster) -> None:
    (project,) = (await served["editor"].get("/org-unit/projects?search=team-a")).json()["projects"]
    assert (project["status"]["namespace"], project["requestedNamespace"]) == ("team-a", "team-a")
    assert served.cluster.get("namespaces", "team-a") is not None
    answer = await served["gpu-admin"].get("/org-unit/projects/team-a/members")
    assert (answer.status_code, answer.json()["code"]) == (501, 501)
    assert "kubectl get rolebindings -n team-a" in answer.json()["details"]
