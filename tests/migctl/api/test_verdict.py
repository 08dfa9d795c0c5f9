"""The verdict over the socket: what a workload would become, computed on the server's cached objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app
from migctl.api.server import serving
from migctl.backends.http.client import RemoteControlPlane
from migctl.backends.mirror import Mirror
from migctl.backends.protocol import AlreadyExists, Invalid, NotFound, Unavailable
from migctl.controller.observe import Observer
from migctl.objects import Claim, GpuRequest, Meta, Prospect, Workload, WorkloadSpec, WorkloadType, encode
from migctl.solver_process.planning import plan
from migctl.verdicts.live import MOST_WAITING, Verdicts
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.fakes.runtime import FakeRuntime
from tests.limits import WAIT_S
from tests.migctl.backends.contract import samples
from tests.migctl.cli import scenes

pytestmark = pytest.mark.anyio
URL = "/apis/migctl.dev/v1alpha1/workloads/verdict"


class Judged:
    """A served control plane with one A100, whose mirror is filled when a test says so."""

    def __init__(self, socket: Path) -> None:
        self.behind = MemoryControlPlane()
        self.mirror = Mirror(self.behind)
        self.verdicts = Verdicts(self.mirror, ManualClock(), plan, Observer(self.mirror))
        self.remote = RemoteControlPlane(socket)
        self.http = httpx.AsyncClient(base_url="http://migctl", transport=httpx.AsyncHTTPTransport(uds=str(socket)))


@pytest.fixture
async def judged(tmp_path: Path) -> AsyncIterator[Judged]:
    made = Judged(tmp_path / "s")
    await made.behind.create(samples.project("team-a"))
    await made.behind.create(scenes.node("node-a", scenes.gpu("node-a", 0, scenes.A100)))
    app = create_app(AdmittingControlPlane(made.behind), FakeRuntime(), verdict=made.verdicts)
    async with serving(app, tmp_path / "s"), made.http:
        yield made


def training(name: str = "one", project: str = "team-a", fraction: float = 0.5, **spec: int) -> Workload:
    wanted = WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=GpuRequest(fraction=fraction), **spec)  # type: ignore[arg-type]
    return Workload(meta=Meta(name=name, project=project), spec=wanted)


async def test_a_workload_is_judged_and_not_created(judged: Judged) -> None:
    await judged.mirror.read()
    verdict = await judged.remote.verdict(training())
    assert verdict.prospect is Prospect.STARTS
    assert verdict.places[0].devices[0].profile == "3g.20gb"
    assert (await judged.behind.list(Workload)).items == ()
    assert (await judged.behind.list(Claim)).items == ()


async def test_what_admission_refuses_is_refused(judged: Judged) -> None:
    await judged.mirror.read()
    with pytest.raises(NotFound, match="no project is called 'none'"):
        await judged.remote.verdict(training(project="none"))
    with pytest.raises(Invalid, match=r"spec\.gpuRequest\.fraction") as refused:
        await judged.remote.verdict(training(fraction=1.5))
    assert refused.value.field == "spec.gpuRequest.fraction"
    with pytest.raises(Invalid, match="a suspended workload"):
        await judged.remote.verdict(training(suspended=True))


async def test_a_name_that_is_taken_is_refused(judged: Judged) -> None:
    await judged.behind.create(training())
    await judged.mirror.read()
    with pytest.raises(AlreadyExists):
        await judged.remote.verdict(training())


async def test_before_all_objects_are_seen_there_is_no_verdict(judged: Judged) -> None:
    with pytest.raises(Unavailable, match="has not seen all objects"):
        await judged.remote.verdict(training())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"kind":"Project"}', b"\xff", encode(training())[:-9]])
async def test_what_is_no_workload_is_refused(judged: Judged, body: bytes) -> None:
    await judged.mirror.read()
    answer = await judged.http.post(URL, content=body)
    assert answer.status_code == 400, answer.text


async def test_many_may_ask_at_once_and_too_many_are_told_so(judged: Judged) -> None:
    await judged.mirror.read()
    async with asyncio.timeout(WAIT_S):
        asked = [judged.verdicts(training(f"w{number}")) for number in range(2 * MOST_WAITING)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == MOST_WAITING
    assert all(isinstance(answer, Unavailable) for answer in refused)
    assert (await judged.verdicts(training())).starting == 1


async def test_who_may_not_see_a_project_is_not_told_of_its_work(judged: Judged) -> None:
    for project in ("secret", "open"):
        await judged.behind.create(samples.project(project))
    card = scenes.gpu("node-a", 0, scenes.A100)
    shares = [scenes.mig_share(card, "3g.20gb", 0), scenes.mig_share(card, "3g.20gb", 4)]
    for project, share in zip(("secret", "open"), shares, strict=True):
        held = scenes.Placed("node-a", (share,))
        await scenes.workload(
            judged.behind, f"{project}-job", GpuRequest(profile="3g.20gb"), held, project=project, preemptible=False
        )
    await judged.mirror.read()
    wanted = Workload(
        meta=Meta(name="one", project="team-a"),
        spec=WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=GpuRequest(profile="7g.40gb")),
    )
    seen = await judged.verdicts(wanted)
    assert {blocker.name for blocker in seen.blockers} == {"secret/secret-job", "open/open-job"}
    told = await judged.verdicts(wanted, lambda project: project != "secret")
    assert b"secret" not in encode(told)
    assert [blocker.name for blocker in told.blockers if blocker.claim] == ["open/open-job"]
    assert len(told.blockers) == 2
    assert told.reasons[0].code == seen.reasons[0].code


async def test_who_may_not_see_a_project_is_not_told_whom_it_stops_there(judged: Judged) -> None:
    await judged.behind.create(samples.project("secret"))
    card = scenes.gpu("node-a", 0, scenes.A100)
    held = scenes.Placed("node-a", (scenes.mig_share(card, "7g.40gb", 0),))
    await scenes.workload(judged.behind, "secret-job", GpuRequest(devices=1), held, project="secret")
    await judged.mirror.read()
    everything, told = [await judged.verdicts(training(), *sees) for sees in ((), (lambda name: name == "team-a",))]
    assert everything.evictions[0].name == "secret/secret-job"
    assert told.prospect is everything.prospect is Prospect.MAKES_ROOM
    assert b"secret" not in encode(told)
    assert told.evictions[0].claim == ""
