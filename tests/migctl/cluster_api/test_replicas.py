"""Several processes serve one cluster: what one has written, another one answers with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from migctl.api.v1.app import create_v1
from migctl.clock import system_clock
from migctl.cluster_api.process import ClusterApiSettings, cluster_service
from migctl.objects import Claim, Workload
from tests.fakes.kubernetes_cluster.cluster import QUICK
from tests.migctl.cluster_api.conftest import TOKENS, ServedCluster, transport
from tests.migctl.cluster_api.test_rights import submission

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def another(served: ServedCluster, *, late: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """A second process, and the editor's client of it. late: its watches tell nothing from here on."""
    settings = ClusterApiSettings(name="here", watches=QUICK.watches)
    async with (
        transport(served.cluster.server.url, "migctl-system:migctl-api") as own,
        cluster_service(own, system_clock, settings) as service,
    ):
        following = asyncio.create_task(service.view.run())
        await served.until(lambda: service.view.synced)
        if late:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        app = create_v1(service)
        app.state.closing = asyncio.Event()
        headers = {"Authorization": f"Bearer {TOKENS['editor']}"}
        ways = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(base_url="http://migctl", transport=ways, headers=headers) as client:
            yield client
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_submission_that_is_sent_again_to_another_process_is_the_same(served: ServedCluster) -> None:
    async with another(served, late=True) as other:
        first = await served["editor"].post("/workloads/trainings", json=submission("job"))
        again = await other.post("/workloads/trainings", json=submission("job"))
        assert (first.status_code, again.status_code) == (202, 202), again.text
        assert again.json()["workloadId"] == first.json()["workloadId"]
        (job,) = served.cluster.operations.storage.all("jobs", "team-a")
        assert job["metadata"]["uid"] == first.json()["workloadId"]
        changed = submission("job")
        changed["spec"]["image"] = "another"
        assert (await other.post("/workloads/trainings", json=changed)).status_code == 409


async def test_what_one_made_is_shown_by_it_at_once_and_by_the_other_soon(served: ServedCluster) -> None:
    async with another(served) as other:
        made = await served["editor"].post("/workloads/trainings", json=submission("job"))
        at = f"/workloads/trainings/{made.json()['workloadId']}"
        assert (await served["editor"].get(at)).status_code == 200

        async def shown() -> None:
            while (await other.get(at)).status_code != 200:
                await asyncio.sleep(0.01)

        await asyncio.wait_for(shown(), 60)


async def test_what_a_submission_says_is_what_the_cluster_gets_and_shows(served: ServedCluster) -> None:
    sent = submission("job")
    sent["spec"] |= {
        "command": "python train.py",
        "args": "--epochs 3",
        "workingDir": "/work",
        "environmentVariables": [{"name": "SEED", "value": "$(HOME)"}],
        "labels": [{"name": "team", "value": "vision"}],
    }
    answer = await served["editor"].post("/workloads/trainings", json=sent)
    uid = answer.json()["workloadId"]
    (job,) = served.cluster.operations.storage.all("jobs", "team-a")
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["python", "train.py", "--epochs", "3"]
    assert container["workingDir"] == "/work"
    assert job["metadata"]["labels"]["user"] == "editor"
    await served.until(lambda: served.service.view.all(Claim))
    told = (await served["editor"].get(f"/workloads/trainings/{uid}")).json()
    assert told["createdBy"] == "editor"
    assert told["spec"]["workingDir"] == "/work"
    assert told["spec"]["environmentVariables"] == [{"name": "SEED", "value": "$(HOME)"}]
    assert [one.spec.user for one in served.service.view.all(Workload)] == ["editor"]


async def test_a_deployments_pods_are_its_own(served: ServedCluster) -> None:
    answer = await served["editor"].post("/workloads/inferences", json=submission("serve", "inferences"))
    assert answer.status_code == 202, answer.text
    uid = answer.json()["workloadId"]
    await served.until(lambda: any(claim.spec.workload_uid == uid for claim in served.service.view.all(Claim)))
    pods = (await served["editor"].get(f"/workloads/{uid}/pods")).json()["pods"]
    assert len(pods) == 1


async def test_an_unchanged_object_stays_the_same_and_a_changed_one_is_made_anew(served: ServedCluster) -> None:
    await served["editor"].post("/workloads/trainings", json=submission("one"))
    await served["editor"].post("/workloads/trainings", json=submission("two"))
    view = served.service.view

    def phases() -> dict[str, str]:
        return {one.meta.name: one.status.phase for one in view.all(Workload)}

    await served.until(lambda: phases() == {"one": "Running", "two": "Running"})
    before = {one.meta.name: one for one in view.all(Workload)}
    served.cluster.relabel("jobs", "two", "changed", "yes", "team-a")
    await served.until(lambda: any("changed" in one.meta.labels for one in view.all(Workload)))
    after = {one.meta.name: one for one in view.all(Workload)}
    assert after["one"] is before["one"]
    assert after["two"] is not before["two"]
