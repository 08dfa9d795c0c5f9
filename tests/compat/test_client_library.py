"""The client library that users come with, unchanged: each call has the effect that it promises, once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migctl.objects import Phase
from tests.compat.conftest import KINDS, Library
from tests.compat.doorway import Doorway, Fault
from tests.depth import sampled
from tests.e2e.embedded import Embedded

Call = dict[str, Any]
ABSENT: Call = {"status": 404, "error": "NotFoundException"}
HALF = {"gpuDevicesRequest": 1, "gpuRequestType": "portion", "gpuPortionRequest": 0.25}
OWN: dict[str, dict[str, Any]] = {
    "training": {"backoffLimit": 2},
    "workspace": {},
    "inference": {"autoscaling": {"minReplicas": 1, "maxReplicas": 1}, "servingPort": {"container": 8000}},
    "distributed": {"distributedFramework": "PyTorch", "numWorkers": 1},
}
APIS = {
    "training": ("TrainingsApi", "create_training1", "TrainingCreationRequest"),
    "workspace": ("WorkspacesApi", "create_workspace1", "WorkspaceCreationRequest"),
    "inference": ("InferencesApi", "create_inference1", "InferenceCreationRequest"),
    "distributed": ("DistributedApi", "create_distributed", "DistributedCreationRequest"),
}


def create(kind: str, name: str, cluster: str, **more: Any) -> Call:
    api, method, model = APIS[kind]
    spec = {"image": "pytorch", "command": "sleep 600", "compute": HALF, **OWN[kind], **more}
    value = {"name": name, "projectId": "default", "clusterId": cluster, "spec": spec}
    sent = f"{kind}_creation_request"
    return {"api": api, "method": method, "arguments": {sent: {"model": model, "value": value}}}


def about(kind: str, verb: str, uid: str) -> Call:
    return {"api": APIS[kind][0], "method": f"{verb}_{kind}", "arguments": {"workload_id": uid}}


def listed(**arguments: Any) -> Call:
    return {"api": "WorkloadsApi", "method": "get_workloads", "arguments": arguments}


@pytest.fixture(scope="module")
def cluster(library: Library) -> str:
    (outcome,) = library.calls("synchronous", {"api": "ClustersApi", "method": "get_clusters", "arguments": {}})
    (found,) = outcome["data"]
    return str(found["uuid"])


@pytest.fixture(autouse=True)
def tidy(one: Embedded) -> Iterator[None]:
    yield
    one.delete_all()


@pytest.mark.parametrize(("kind", "client"), sampled(list(itertools.product(APIS, KINDS)), 2))
def test_a_workload_is_submitted_followed_stopped_and_ended(
    library: Library, one: Embedded, cluster: str, kind: str, client: str
) -> None:
    (made,) = library.calls(client, create(kind, f"{kind}-1", cluster))
    assert made["status"] == 202, made
    uid = made["data"]["workloadId"]
    one.wait(f"{kind}-1", Phase.RUNNING)
    (got,) = library.calls(client, about(kind, "get", uid))
    assert (got["data"]["actualPhase"], got["data"]["desiredPhase"]) == ("Running", "Running")
    (suspended,) = library.calls(client, about(kind, "suspend", uid)) if kind != "inference" else ({"status": 202},)
    assert suspended["status"] == 202, suspended
    if kind != "inference":
        one.wait(f"{kind}-1", Phase.SUSPENDED)
        (stopped,) = library.calls(client, about(kind, "get", uid))
        assert (stopped["data"]["actualPhase"], stopped["data"]["desiredPhase"]) == ("Stopped", "Stopped")
        (resumed,) = library.calls(client, about(kind, "resume", uid))
        assert resumed["status"] == 202, resumed
        one.wait(f"{kind}-1", Phase.RUNNING)
    (deleted,) = library.calls(client, about(kind, "delete", uid))
    assert deleted["status"] == 202, deleted
    one.until("it is gone", lambda: not one.names())
    (gone,) = library.calls(client, about(kind, "get", uid))
    assert gone.items() >= ABSENT.items()


FAULTS = (Fault.REFUSED, Fault.UNAVAILABLE, Fault.CUT)
LOSSES: list[tuple[Fault, bool, str]] = list(itertools.product(FAULTS, (False, True), ("synchronous", "threaded")))
LOST = sampled(LOSSES, 3)


@pytest.mark.parametrize(("fault", "prefixed", "client"), LOST)
def test_what_is_sent_again_after_a_lost_answer_is_done_once(
    library: Library, one: Embedded, doorway: Doorway, cluster: str, fault: Fault, client: str, prefixed: bool
) -> None:
    call = create("training", "again", cluster)
    call["arguments"]["training_creation_request"]["value"]["useGivenNameAsPrefix"] = prefixed
    with doorway.losing(fault, fault):
        (made,) = library.calls(client, call)
    assert made["status"] == 202, made
    (name,) = one.names()
    assert made["data"]["name"] == name
    uid = made["data"]["workloadId"]
    with doorway.losing(fault):
        assert library.calls(client, about("training", "suspend", uid))[0]["status"] == 202
    one.wait(name, Phase.SUSPENDED)
    with doorway.losing(fault):
        (deleted,) = library.calls(client, about("training", "delete", uid))
    assert deleted["status"] in (202, 404), "it may be gone when it is asked for the second time"
    one.until("it is gone", lambda: not one.names())


@pytest.mark.parametrize("client", ["threaded", "asynchronous"])
def test_many_at_once(library: Library, one: Embedded, cluster: str, client: str) -> None:
    made = library.calls(client, *(create("training", f"job-{number}", cluster) for number in range(12)))
    assert {outcome["status"] for outcome in made} == {202}
    ids = [outcome["data"]["workloadId"] for outcome in made]
    assert len(set(ids)) == 12
    batch = {"model": "WorkloadBatch", "value": {"ids": ids, "action": "delete"}}
    sent = {"api": "WorkloadsBatchApi", "method": "batch_workloads", "arguments": {"workload_batch": batch}}
    (done,) = library.calls(client, sent)
    assert set(done["data"]["succeeded"]) == set(ids)
    one.until("all are gone", lambda: not one.names())


@pytest.mark.parametrize("client", KINDS)
def test_lists_counts_and_details(library: Library, one: Embedded, cluster: str, client: str) -> None:
    library.calls(client, *(create("training", f"job-{number}", cluster) for number in range(3)))
    library.calls(client, create("workspace", "desk", cluster))
    claims = one.running("job-0", "job-1", "job-2", "desk")
    for name in claims:
        one.wait(name, Phase.RUNNING)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    wanted = ["type==Training", "phase==Running", f"createdAt<={tomorrow:%Y-%m-%dT%H:%M:%SZ}"]
    by_name = {"filter_by": wanted, "sort_by": "name", "sort_order": "desc"}
    (page,) = library.calls(client, listed(limit=2, **by_name))
    assert [workload["name"] for workload in page["data"]["workloads"]] == ["job-2", "job-1"]
    (rest,) = library.calls(client, listed(offset=page["data"]["next"], **by_name))
    assert [workload["name"] for workload in rest["data"]["workloads"]] == ["job-0"]
    assert rest["data"]["next"] is None
    count = {"api": "WorkloadsApi", "method": "count_workloads", "arguments": {"search": "desk"}}
    assert library.calls(client, count)[0]["data"] == {"count": 1}
    uid = page["data"]["workloads"][0]["id"]
    now = datetime.now(UTC)
    period = {"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(hours=1)).isoformat()}
    detail, pods, events, history, metrics = library.calls(
        client,
        {"api": "WorkloadsApi", "method": "get_workload", "arguments": {"workload_id": uid}},
        {"api": "PodsApi", "method": "get_workload_pods", "arguments": {"workload_id": uid}},
        {"api": "EventsApi", "method": "get_workload_events", "arguments": {"workload_id": uid}},
        {"api": "EventsApi", "method": "get_workload_history", "arguments": {"workload_id": uid}},
        {
            "api": "WorkloadsApi",
            "method": "get_workload_metrics",
            "arguments": {"workload_id": uid, "metric_type": ["GPU_ALLOCATION", "POD_COUNT"], **period},
        },
    )
    assert detail["data"]["allocatedResources"]["gpu"] == pytest.approx(0.25, abs=0.2)
    assert [pod["id"] for pod in pods["data"]["pods"]] == [claims["job-2"].meta.uid]
    assert any(event["reason"] == "Placed" for event in events["data"]["events"])
    assert {record["meta"]["type"] for record in history["data"]["records"]} == {"Event", "PhaseUpdate"}
    assert [len(one["values"]) for one in metrics["data"]["measurements"]] == [1, 1]


@pytest.mark.parametrize("client", KINDS)
def test_refusals_are_the_errors_of_the_library(library: Library, one: Embedded, cluster: str, client: str) -> None:
    (bad,) = library.calls(client, create("training", "bad", cluster, compute={**HALF, "gpuPortionRequest": 0}))
    assert (bad["error"], bad["status"]) == ("BadRequestException", 400)
    assert "spec.compute.gpuPortionRequest" in bad["text"]
    (missing,) = library.calls(client, about("training", "delete", "0d4b8f3a-6a53-4a3c-9d0e-5b1f0e2c7a11"))
    assert missing["error"] == "NotFoundException"
    library.calls(client, create("training", "taken", cluster))
    (conflict,) = library.calls(client, create("training", "taken", cluster, args="other"))
    assert conflict["error"] == "ConflictException"
    assert one.names() == ["taken"]


def test_an_inference_is_given_more_replicas(library: Library, one: Embedded, cluster: str) -> None:
    (made,) = library.calls("synchronous", create("inference", "serve", cluster))
    change = {
        "model": "InferenceUpdateRequest",
        "value": {"spec": {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}}},
    }
    arguments = {"workload_id": made["data"]["workloadId"], "inference_update_request": change}
    (changed,) = library.calls(
        "synchronous", {"api": "InferencesApi", "method": "update_inference_spec", "arguments": arguments}
    )
    assert changed["status"] == 202, changed
    one.until("two pods run", lambda: one.workload("serve").status.running == 2)


def test_the_pods_of_a_distributed_training_know_each_other(library: Library, one: Embedded, cluster: str) -> None:
    told = "sh -c 'echo $MASTER_ADDR:$MASTER_PORT $RANK of $WORLD_SIZE'"
    library.calls("synchronous", create("distributed", "gang", cluster, command=told))
    one.wait("gang", Phase.COMPLETED)
    lines = one.ok("logs", "gang").splitlines()
    assert sorted(line.split(" ", 1)[1].split(" ", 1)[1] for line in lines) == ["0 of 2", "1 of 2"]
    assert len({line.split(" ")[1] for line in lines}) == 1
