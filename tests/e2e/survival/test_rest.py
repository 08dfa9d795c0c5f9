"""SIGKILL for `migctl up` at each write of a REST call, then `up` again and the client's retry: exactly one effect."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from migctl.objects import Claim, Phase, Workload
from tests.depth import sampled
from tests.e2e.embedded import Embedded
from tests.e2e.survival.doomed import Doom, changes
from tests.e2e.survival.test_survival import doomed_up
from tests.limits import WAIT_S

SIMULATED = "a100-40gb=1,v100=1"
CREATES = sampled([(False, False), (True, False), (False, True), (True, True)], 3)
BATCHES = sampled([(0, True), (0, False), (1, False), (1, True)], 2)


@dataclass
class Rest:
    """A client of the API, as scripts are: what gets no answer is sent again once `migctl up` is there again."""

    one: Embedded
    process: subprocess.Popen[bytes]

    def call(self, method: str, path: str, sent: Any = None) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self.one.home / "migctl.sock"))
        with httpx.Client(transport=transport, base_url="http://migctl/api/v1", timeout=WAIT_S) as client:
            return client.request(method, path, json=sent)

    def killed_at(self, doom: Doom, method: str, path: str, sent: Any = None) -> httpx.Response:
        """The answer to what is sent again after it was killed at this change, and started anew."""
        doom.write(self.one.home)
        answered = None
        with suppress(httpx.TransportError):
            answered = self.call(method, path, sent)
        assert self.process.wait(WAIT_S) == -signal.SIGKILL, answered
        assert doom.text in changes(self.one.home)[-1]
        doom.avert(self.one.home)
        self.process = doomed_up(self.one)
        return self.call(method, path, sent)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)

    def workloads(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/workloads").json()["workloads"]
        return found


@pytest.fixture(scope="module")
def rest(embedded: Callable[[str], Embedded]) -> Iterator[Rest]:
    one = embedded(SIMULATED)
    one.ok("down")
    with closing(Rest(one, doomed_up(one))) as rest:
        yield rest


@pytest.fixture(autouse=True)
def tidy(rest: Rest) -> Iterator[None]:
    yield
    for workload in rest.workloads():
        rest.call("DELETE", f"/workloads/trainings/{workload['id']}")
    rest.one.until("everything is deleted", lambda: not rest.one.look(Workload) and not rest.one.look(Claim))


def submission(name: str, prefixed: bool = False) -> dict[str, Any]:
    spec = {"image": "x", "command": "sleep 600", "compute": {"gpuPortionRequest": 0.25}}
    return {"name": name, "useGivenNameAsPrefix": prefixed, "projectId": "default", "spec": spec}


def submitted(rest: Rest, *names: str) -> list[str]:
    ids = [rest.call("POST", "/workloads/trainings", submission(name)).json()["workloadId"] for name in names]
    for name in names:
        rest.one.wait(name, Phase.RUNNING)
    return ids


@pytest.mark.parametrize(("done", "prefixed"), CREATES)
def test_a_create_is_one_workload(rest: Rest, done: bool, prefixed: bool) -> None:
    name = f"made-{done}-{prefixed}".lower()
    answer = rest.killed_at(
        Doom(f"ADDED workloads/{name}", done), "POST", "/workloads/trainings", submission(name, prefixed)
    )
    assert answer.status_code == 202, answer.text
    (workload,) = rest.workloads()
    assert workload["id"] == answer.json()["workloadId"]
    rest.one.wait(workload["name"], Phase.RUNNING)
    assert len([one for one, _ in rest.one.programs()]) == 1


@pytest.mark.parametrize("done", sampled([False, True], 2))
def test_a_delete_is_one_deletion(rest: Rest, done: bool) -> None:
    uid, kept = submitted(rest, f"ended-{done}".lower(), f"kept-{done}".lower())
    doom = Doom("MODIFIED workloads/ended-" + str(done).lower(), done)
    answer = rest.killed_at(doom, "DELETE", f"/workloads/trainings/{uid}")
    assert answer.status_code in (202, 404), answer.text
    rest.one.until("it is gone", lambda: [one["id"] for one in rest.workloads()] == [kept])


@pytest.mark.parametrize("done", sampled([True, False], 2))
def test_a_suspend_is_one_stop(rest: Rest, done: bool) -> None:
    name = f"stopped-{done}".lower()
    (uid,) = submitted(rest, name)
    answer = rest.killed_at(Doom(f"MODIFIED workloads/{name}", done), "POST", f"/workloads/trainings/{uid}/suspend")
    assert answer.status_code == 202, answer.text
    rest.one.wait(name, Phase.SUSPENDED)
    assert not list(rest.one.programs())
    assert rest.call("POST", f"/workloads/trainings/{uid}/resume").status_code == 202
    rest.one.wait(name, Phase.RUNNING)


@pytest.mark.parametrize(("which", "done"), BATCHES)
def test_a_batch_is_done_once_for_each(rest: Rest, which: int, done: bool) -> None:
    names = [f"batch-{which}-{done}-{number}".lower() for number in range(2)]
    ids = submitted(rest, *names)
    doom = Doom(f"MODIFIED workloads/{names[which]}", done)
    answer = rest.killed_at(doom, "POST", "/workloads/batch", {"ids": ids, "action": "delete"})
    told = answer.json()
    assert set(told["succeeded"]) | {item["id"] for item in told["failed"]} == set(ids)
    assert {item["code"] for item in told["failed"]} <= {404}, "what is gone already is not found"
    rest.one.until("both are gone", lambda: not rest.workloads())
