"""Submitting workloads: what becomes of each field, what is refused, and that the same is one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from migctl.objects import GangSpec, GpuRequest, Phase, Project, Workload, WorkloadStatus, WorkloadType
from tests.migctl.api.v1.conftest import CLUSTER, Served
from tests.migctl.api.v1.workloads.bodies import TYPES, body

pytestmark = pytest.mark.anyio


async def one(served: Served) -> Workload:
    (workload,) = (await served.behind.list(Workload)).items
    return workload


@pytest.mark.parametrize("kind", TYPES)
async def test_a_submission_is_answered_as_clients_know_it(served: Served, kind: str) -> None:
    project = await served.behind.get(Project, "team-a")
    answer = await served["researcher"].post(f"/workloads/{kind}", json=body("job", project.meta.uid, kind))
    assert answer.status_code == 202, answer.text
    told, stored = answer.json(), await one(served)
    assert told["workloadId"] == stored.meta.uid
    assert (told["name"], told["requestedName"], told["createdBy"]) == ("job", "job", "researcher")
    assert (told["projectId"], told["clusterId"]) == (project.meta.uid, CLUSTER.uid)
    assert (told["desiredPhase"], told["actualPhase"]) == ("Running", "Pending")
    assert told["spec"]["image"] == "pytorch"
    assert told["spec"]["compute"]["gpuPortionRequest"] == 0.5
    assert (await served["viewer"].get(f"/workloads/{kind}/{told['workloadId']}")).json() == told
    other = TYPES[TYPES.index(kind) - 1]
    assert (await served["viewer"].get(f"/workloads/{other}/{told['workloadId']}")).status_code == 404


async def test_every_field_arrives(served: Served) -> None:
    sent = body(
        command="python 'my train.py'",
        args="--epochs 3",
        environmentVariables=[{"name": "A", "value": "b=c"}],
        labels=[{"name": "team", "value": "vision"}],
        workingDir="/srv",
        parallelism=3,
        completions=12,
        backoffLimit=2,
        autoDeletionTimeAfterCompletionSeconds=60,
        priorityClass="train",
        preemptibility="non-preemptible",
        nodePools=["default"],
    )
    answer = await served["researcher"].post("/workloads/trainings", json=sent)
    assert answer.status_code == 202, answer.text
    spec = (await one(served)).spec
    assert spec.command == ("python", "my train.py", "--epochs", "3")
    assert spec.entrypoint
    assert spec.environment == {"A": "b=c"}
    assert (spec.parallelism, spec.completions, spec.backoff_limit, spec.ttl_after_finish_s) == (3, 12, 2, 60)
    assert not spec.preemptible
    assert (spec.directory, spec.pools, spec.user) == ("/srv", ("default",), "researcher")
    assert (await one(served)).meta.labels["team"] == "vision"
    told = answer.json()["spec"]
    assert told["labels"] == [{"name": "team", "value": "vision"}]
    assert told["command"] == "python 'my train.py' --epochs 3"


@pytest.mark.parametrize(
    ("compute", "wanted"),
    [
        ({"gpuPortionRequest": 0.5}, GpuRequest(fraction=0.5)),
        ({"gpuRequestType": "portion", "gpuPortionRequest": 1}, GpuRequest()),
        ({"gpuDevicesRequest": 2, "gpuPortionRequest": 0.5}, GpuRequest(fraction=0.5, devices=2)),
        ({"gpuDevicesRequest": 4}, GpuRequest(devices=4)),
        ({"gpuRequestType": "memory", "gpuMemoryRequest": "5G"}, GpuRequest(memory_mib=4769)),
        ({"gpuRequestType": "migProfile", "migProfile": "2g.10gb"}, GpuRequest(profile="2g.10gb")),
        ({"gpuPortionRequest": 0.5, "gpuPortionLimit": 0.5}, GpuRequest(fraction=0.5)),
    ],
)
async def test_gpus(served: Served, compute: dict[str, Any], wanted: GpuRequest) -> None:
    answer = await served["researcher"].post("/workloads/trainings", json=body(compute=compute))
    assert answer.status_code == 202, answer.text
    assert (await one(served)).spec.gpu_request == wanted


HALF = {"gpuPortionRequest": 0.5}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("portion 0", {"compute": {"gpuPortionRequest": 0}}, "spec.compute.gpuPortionRequest"),
    ("portion -1", {"compute": {"gpuPortionRequest": -1}}, "spec.compute.gpuPortionRequest"),
    ("portion 1.5", {"compute": {"gpuPortionRequest": 1.5}}, "spec.compute.gpuPortionRequest"),
    ("limit below", {"compute": {**HALF, "gpuPortionLimit": 0.4}}, "spec.compute.gpuPortionLimit"),
    (
        "memory limit below",
        {"compute": {"gpuMemoryRequest": "5G", "gpuMemoryLimit": "4G"}},
        "spec.compute.gpuMemoryLimit",
    ),
    ("cpu limit below", {"compute": {**HALF, "cpuCoreRequest": 2, "cpuCoreLimit": 1}}, "spec.compute.cpuCoreLimit"),
    ("no unit", {"compute": {"gpuMemoryRequest": "5000"}}, "spec.compute.gpuMemoryRequest"),
    ("both", {"compute": {**HALF, "gpuMemoryRequest": "5G"}}, "spec.compute"),
    ("another type", {"compute": {**HALF, "gpuRequestType": "memory"}}, "spec.compute.gpuRequestType"),
    ("no GPU", {"compute": {"gpuDevicesRequest": 0}}, "spec.compute.gpuDevicesRequest"),
    ("nothing asked", {"compute": None}, "spec.compute.gpuDevicesRequest"),
    ("no image", {"image": None}, "spec.image"),
    ("priority", {"priorityClass": "very-high"}, "spec.priorityClass"),
    ("quotes", {"command": "echo 'x"}, "spec.command"),
    ("own label", {"labels": [{"name": "migctl.dev/submission", "value": "x"}]}, "spec.labels"),
    ("no such label", {"labels": [{"name": "a b", "value": "x"}]}, "spec.labels"),
    ("variable", {"environmentVariables": [{"name": "1A", "value": "x"}]}, "spec.environmentVariables"),
    ("relative directory", {"workingDir": "srv"}, "spec.workingDir"),
    ("parallelism 0", {"parallelism": 0}, "spec.parallelism"),
    ("storage", {"storage": {"pvc": [{"path": "/data"}]}}, "spec.storage"),
    ("ports", {"ports": [{"container": 8888}]}, "spec.ports"),
    ("secret", {"environmentVariables": [{"name": "A", "secret": {"name": "s", "key": "k"}}]}, "environmentVariables"),
    ("unknown", {"colour": "blue"}, "spec.colour"),
]


@pytest.mark.parametrize(("spec", "field"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_a_broken_rule_is_a_400_that_names_the_field(served: Served, spec: dict[str, Any], field: str) -> None:
    answer = await served["researcher"].post("/workloads/trainings", json=body(**spec))
    assert answer.status_code == 400, answer.text
    told = answer.json()
    assert any(field in issue["field"] for issue in told["complianceIssues"]), told
    assert not (await served.behind.list(Workload)).items


async def test_of_an_inference_the_replicas_are_fixed(served: Served) -> None:
    scaled = body(kind="inferences", autoscaling={"minReplicas": 1, "maxReplicas": 3})
    answer = await served["researcher"].post("/workloads/inferences", json=scaled)
    assert answer.status_code == 400
    assert "PATCH" in answer.json()["details"]
    three = body(kind="inferences", autoscaling={"minReplicas": 3, "maxReplicas": 3}, servingPort={"container": 8000})
    answer = await served["researcher"].post("/workloads/inferences", json=three)
    assert (await one(served)).spec.parallelism == 3
    path = f"/workloads/inferences/{answer.json()['workloadId']}"
    change = {"spec": {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}, "image": "pytorch"}}
    assert (await served["researcher"].patch(path, json=change)).status_code == 202
    assert (await one(served)).spec.parallelism == 2
    other = await served["researcher"].patch(path, json={"spec": {"image": "other"}})
    assert other.status_code == 400
    assert other.json()["complianceIssues"][0]["field"] == "spec.image"
    assert (await served["colleague"].patch(path, json=change)).status_code == 403


async def test_distributed_pods_start_together(served: Served) -> None:
    sent = body(kind="distributed", numWorkers=3)
    assert (await served["researcher"].post("/workloads/distributed", json=sent)).status_code == 202
    spec = (await one(served)).spec
    assert (spec.type, spec.parallelism, spec.gang) == (WorkloadType.DISTRIBUTED, 4, GangSpec(size=4))
    sent = body("mpi", kind="distributed", distributedFramework="MPI")
    assert (await served["researcher"].post("/workloads/distributed", json=sent)).status_code == 400


async def test_what_has_no_effect_is_told(served: Served) -> None:
    sent = body(compute={**HALF, "cpuCoreRequest": 4}, annotations=[{"name": "a", "value": "b"}])
    answer = await served["researcher"].post("/workloads/trainings", json=sent)
    assert answer.status_code == 202
    warnings = answer.headers.get_list("warning")
    assert any("spec.compute.cpuCoreRequest has no effect" in warning for warning in warnings)
    assert any("spec.annotations" in warning for warning in warnings)


async def test_an_unknown_project_or_cluster_is_not_found(served: Served) -> None:
    answer = await served["admin"].post("/workloads/trainings", json=body(project="nowhere"))
    assert (answer.status_code, "projectId" in answer.json()["message"]) == (404, True)
    answer = await served["admin"].post("/workloads/trainings", json={**body(), "clusterId": "other"})
    assert answer.status_code == 404


async def test_the_same_again_is_the_same_workload(served: Served) -> None:
    first = await served["researcher"].post("/workloads/trainings", json=body())
    served.clock.advance(299)
    again = await served["researcher"].post("/workloads/trainings", json=body())
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["workloadId"] == again.json()["workloadId"]
    served.clock.advance(2)
    assert (await served["researcher"].post("/workloads/trainings", json=body())).status_code == 409


async def test_ten_of_the_same_at_once_are_one(served: Served) -> None:
    for prefixed in (False, True):
        sent = {**body(f"job-{prefixed}".lower()), "useGivenNameAsPrefix": prefixed}
        answers = await asyncio.gather(
            *(served["researcher"].post("/workloads/trainings", json=sent) for _ in range(10))
        )
        assert len({answer.json()["workloadId"] for answer in answers}) == 1


@pytest.mark.parametrize("change", [{"args": "other"}, {"compute": {"gpuPortionRequest": 0.25}}])
async def test_another_spec_under_the_same_name_is_a_conflict(served: Served, change: dict[str, Any]) -> None:
    await served["researcher"].post("/workloads/trainings", json=body())
    assert (await served["researcher"].post("/workloads/trainings", json=body(**change))).status_code == 409
    assert (await served["colleague"].post("/workloads/trainings", json=body())).status_code == 409
    assert (await served["researcher"].post("/workloads/workspaces", json=body())).status_code == 409


async def test_a_workload_that_is_being_deleted_is_not_answered_again(served: Served) -> None:
    await served["researcher"].post("/workloads/trainings", json=body())
    there = await one(served)
    await served.behind.patch(there, {"meta": {"finalizers": ["test/held"]}})
    await served.behind.delete(there)
    assert (await served["researcher"].post("/workloads/trainings", json=body())).status_code == 409


async def test_a_name_as_prefix_gets_an_ending_of_its_own(served: Served) -> None:
    sent = {**body("job"), "useGivenNameAsPrefix": True}
    first = (await served["researcher"].post("/workloads/trainings", json=sent)).json()
    assert first["requestedName"] == "job"
    assert first["name"].startswith("job-")
    again = (await served["researcher"].post("/workloads/trainings", json=sent)).json()
    assert again["name"] == first["name"]
    served.clock.advance(301)
    later = (await served["researcher"].post("/workloads/trainings", json=sent)).json()
    assert later["name"] not in (first["name"], "job")
    await served.behind.delete(await served.behind.get(Workload, first["name"], "team-a"))
    assert (await served["researcher"].post("/workloads/trainings", json=sent)).json()["name"] == later["name"]
    long = {**body("x" * 63), "useGivenNameAsPrefix": True}
    assert len((await served["researcher"].post("/workloads/trainings", json=long)).json()["name"]) == 63


async def test_a_body_that_is_json_in_a_string_is_read(served: Served) -> None:
    """The asynchronous client of the library that users come with encodes its bodies twice."""
    answer = await served["researcher"].post("/workloads/trainings", json=json.dumps(body()))
    assert answer.status_code == 202, answer.text


async def test_suspend_and_resume_and_delete(served: Served) -> None:
    told = (await served["researcher"].post("/workloads/trainings", json=body())).json()
    path = f"/workloads/trainings/{told['workloadId']}"
    for _ in range(2):
        assert (await served["researcher"].post(f"{path}/suspend")).status_code == 202
    assert (await served["viewer"].get(path)).json()["desiredPhase"] == "Stopped"
    assert (await served["researcher"].post(f"{path}/resume")).status_code == 202
    assert not (await one(served)).spec.suspended
    there = await one(served)
    await served.behind.patch(there, {"status": WorkloadStatus(phase=Phase.COMPLETED)})
    assert (await served["researcher"].post(f"{path}/suspend")).status_code == 409
    assert (await served["researcher"].delete(path)).status_code == 202
    assert (await served["researcher"].delete(path)).status_code == 404
    assert (await served["researcher"].get(path)).status_code == 404


async def test_a_batch_tells_what_became_of_each(served: Served) -> None:
    ids = []
    for user, name in (("researcher", "mine"), ("colleague", "other")):
        ids.append((await served[user].post("/workloads/trainings", json=body(name))).json()["workloadId"])
    sent = {"ids": [*ids, "nothing"], "action": "suspend"}
    told = (await served["researcher"].post("/workloads/batch", json=sent)).json()
    assert told["succeeded"] == ids[:1]
    assert [(item["id"], item["code"]) for item in told["failed"]] == [(ids[1], 403), ("nothing", 404)]
    deleted = (await served["project-admin"].post("/workloads/batch", json={"ids": ids, "action": "delete"})).json()
    assert deleted["succeeded"] == ids
    assert not (await served.behind.list(Workload)).items


async def test_a_command_line_submission_has_a_record_too(served: Served) -> None:
    told = (await served["researcher"].post("/workloads/trainings", json=body())).json()
    there = await one(served)
    bare = replace(there, meta=replace(there.meta, name="cli", labels={}, uid="", version=""))
    made = await served.behind.create(bare)
    await served.settled()
    record = (await served["viewer"].get(f"/workloads/trainings/{made.meta.uid}")).json()
    assert record["requestedName"] == "cli"
    assert record["spec"] == told["spec"]
