"""Lists of workloads, and what there is to know of one."""

from __future__ import annotations

import pytest

from migctl.objects import Claim, ClaimSpec, ClaimStatus, Event, EventSpec, GpuRequest, Meta, Phase, Workload
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant
from tests.migctl.api.v1.conftest import Served
from tests.migctl.api.v1.workloads.bodies import body

pytestmark = pytest.mark.anyio


async def filled(served: Served) -> dict[str, str]:
    """Ten trainings a second apart, a workspace, and one of team-b; ids by name."""
    ids = {}
    for number in range(10):
        answer = await served["researcher"].post("/workloads/trainings", json=body(f"job-{number}"))
        ids[f"job-{number}"] = answer.json()["workloadId"]
        served.clock.advance(1)
    answer = await served["colleague"].post("/workloads/workspaces", json=body("desk"))
    ids["desk"] = answer.json()["workloadId"]
    await served["outsider"].post("/workloads/trainings", json=body("hidden", "team-b"))
    await served.settled()
    return ids


async def held(served: Served, name: str) -> Claim:
    """Give a workload a running pod with half a GPU."""
    workload = await served.behind.get(Workload, name, "team-a")
    share = DeviceShare("GPU-1", Backing.SOFTWARE, 0.5, 8080, None, None, 0)
    claim = Claim(
        meta=Meta(name=f"{name}-0-0", project="team-a"),
        spec=ClaimSpec(workload=name, workload_uid=workload.meta.uid, gpu_request=GpuRequest(fraction=0.5)),
        status=ClaimStatus(phase=Phase.RUNNING, allocation=Grant("node-1", (share,))),
    )
    made = await served.behind.create(claim)
    await served.behind.patch(workload, {"status": {"phase": "Running", "running": 1}})
    await served.settled()
    return made


async def names(served: Served, user: str = "viewer", **query: str | int) -> list[str]:
    answer = await served[user].get("/workloads", params=query)
    assert answer.status_code == 200, answer.text
    return [workload["name"] for workload in answer.json()["workloads"]]


FILTERS = [
    ("type==Workspace", ["desk"]),
    ("type==workspace,phase==Pending", ["desk"]),
    ("name==job-3", ["job-3"]),
    ("name=^job-,name=$7", ["job-7"]),
    ("name=@esk", ["desk"]),
    ("name!@job", ["desk"]),
    ("projectName!=team-a", []),
    ("submittedBy==colleague", ["desk"]),
    ("createdAt<=2030-01-01T00:00:01Z", ["job-0", "job-1"]),
    ("createdAt>=2030-01-01T00:00:09Z", ["job-9", "desk"]),
    ("allocatedGPU>=0.5", ["job-5"]),
    ("phase==Running", ["job-5"]),
    ("nodeName==node-1", ["job-5"]),
    ("nodepool==default", []),
    ('["name!=desk","phase==Running"]', ["job-5"]),
    ("departmentName==research,name==desk", ["desk"]),
    ("completedAt>=2030-01-01T00:00:00Z", []),
]


@pytest.mark.parametrize(("text", "expected"), FILTERS, ids=[text for text, _ in FILTERS])
async def test_filters(served: Served, text: str, expected: list[str]) -> None:
    await filled(served)
    await held(served, "job-5")
    assert await names(served, filterBy=text) == expected
    count = await served["viewer"].get("/workloads/count", params={"filterBy": text})
    assert count.json() == {"count": len(expected)}


BAD_FILTERS = [
    f"filterBy={text}"
    for text in ("nothing", "colour==blue", "createdAt==yesterday", "allocatedGPU=@1", "allocatedGPU>=many")
]


@pytest.mark.parametrize(
    "query",
    [*BAD_FILTERS, "sortBy=colour", "limit=0", "limit=501", "offset=-1", "sortOrder=up"],
)
async def test_a_bad_query_is_a_400_that_names_it(served: Served, query: str) -> None:
    answer = await served["viewer"].get(f"/workloads?{query}")
    assert answer.status_code == 400
    assert answer.json()["complianceIssues"][0]["field"] == query.split("=")[0]


async def test_pages_follow_each_other(served: Served) -> None:
    ids = await filled(served)
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        query: dict[str, str | int] = {"offset": offset, "limit": 4, "sortBy": "createdAt", "sortOrder": "desc"}
        told = (await served["researcher"].get("/workloads", params=query)).json()
        seen += [workload["name"] for workload in told["workloads"]]
        offset = told["next"]
    assert seen == ["desk", *(f"job-{n}" for n in range(9, -1, -1))]
    assert set(seen) == set(ids)
    assert await names(served, offset=100) == []
    assert await names(served, deleted="true") == []


async def test_what_has_no_value_comes_last(served: Served) -> None:
    await filled(served)
    there = await served.behind.get(Workload, "job-4", "team-a")
    await served.behind.patch(there, {"status": {"phase": "Failed", "finished": "2030-01-01T01:00:00Z"}})
    await served.settled()
    for order in ("asc", "desc"):
        assert (await names(served, sortBy="completedAt", sortOrder=order))[0] == "job-4"


async def test_search_looks_in_names_projects_users_and_nodes(served: Served) -> None:
    await filled(served)
    await held(served, "job-5")
    assert await names(served, search="COLLEAGUE") == ["desk"]
    assert await names(served, search="node-1") == ["job-5"]
    assert await names(served, search="team-b") == []


async def test_a_row_says_what_it_holds(served: Served) -> None:
    ids = await filled(served)
    await held(served, "job-5")
    told = (await served["viewer"].get(f"/workloads/{ids['job-5']}")).json()
    assert told["allocatedResources"] == {"gpu": 0.5, "gpuMemory": "8080Mi"}
    assert (told["phase"], told["runningPods"], told["currentNodes"]) == ("Running", 1, ["node-1"])
    assert told["podsRequestedResources"]["gpu"]["request"] == 0.5
    assert told["type"] == "Training"
    pods = (await served["viewer"].get(f"/workloads/{ids['job-5']}/pods")).json()["pods"]
    assert [(pod["nodeName"], pod["k8sPhase"], pod["allocatedResources"]["gpu"]) for pod in pods] == [
        ("node-1", "Running", 0.5)
    ]
    for path in (f"/workloads/{ids['job-5']}/metrics", f"/workloads/inferences/{ids['job-5']}/metrics"):
        measured = (await served["viewer"].get(path)).json()["measurements"]
    assert {one["type"]: one["values"][0]["value"] for one in measured}["GPU_ALLOCATION"] == "0.5"
    unknown = {"metricType": "GPU_UTILIZATION", "start": "2030-01-01T00:00:00Z", "end": "2031-01-01T00:00:00Z"}
    measured = (await served["viewer"].get(f"/workloads/{ids['job-5']}/metrics", params=unknown)).json()["measurements"]
    assert measured == [{"type": "GPU_UTILIZATION", "values": []}]


async def test_events_history_and_output(served: Served) -> None:
    ids = await filled(served)
    uid = ids["job-5"]
    spec = EventSpec(about="Workload/job-5", reason="Placed", message="on GPU-1", uid=uid)
    await served.behind.create(Event(meta=Meta(name="e1", project="team-a"), spec=spec))
    events = (await served["viewer"].get(f"/workloads/{uid}/events")).json()["events"]
    assert [(event["reason"], event["type"], event["involvedObject"]["uid"]) for event in events] == [
        ("Placed", "Normal", uid)
    ]
    records = (await served["viewer"].get(f"/workloads/{uid}/history")).json()["records"]
    assert [record["meta"]["type"] for record in records] == ["PhaseUpdate", "Event"]
    served.runtime.output["job-5"] = [b"one\n", b"two\n"]
    answer = await served["viewer"].get(f"/workloads/{uid}/logs", params={"tail": 1})
    assert (answer.status_code, answer.text) == (200, "two\n")
    assert (await served["viewer"].get(f"/workloads/{ids['job-1']}/logs")).status_code == 404
