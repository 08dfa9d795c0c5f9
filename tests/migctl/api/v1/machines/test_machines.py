"""Nodes, node pools and GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi import Request

from migctl.api.v1.machines.rows import fleet_of
from migctl.objects import Claim, DynamicMig, GpuNode, GpuRequest, NodePool, NodePoolSpec
from solver.model.cluster import Instance, InstanceState, SharedPart
from solver.model.snapshot import Spreading
from tests.migctl.api.v1.conftest import USERS, Served
from tests.migctl.cli import scenes
from tests.migctl.cli.scenes import A100, V100, Placed

pytestmark = pytest.mark.anyio

HIDDEN = "secret"
ADMINS = ("admin",)


async def filled(served: Served) -> None:
    """node-a: a V100 that team-a and team-b share; node-b: an A100 with an instance of team-b, and it is not ready."""
    shared, mig = scenes.gpu("node-a", 0, V100), scenes.gpu("node-b", 0, A100, fenced=f"left by {HIDDEN}")
    half, share = scenes.software_share(shared, 0.5), scenes.mig_share(mig, "2g.10gb", 0)
    await scenes.workload(served.behind, "mine", GpuRequest(), Placed("node-a", (half,)), project="team-a")
    for name, at in (("shared", Placed("node-a", (half,))), ("mig", Placed("node-b", (share,)))):
        await scenes.workload(served.behind, f"{HIDDEN}-{name}", GpuRequest(), at, project="team-b")
    await served.settled()
    uids = {claim.spec.workload: claim.meta.uid for claim in served.mirror.all(Claim)}
    parts = (SharedPart(uids["mine"], 0.5, 8080), SharedPart(uids[f"{HIDDEN}-shared"], 0.5, 8080))
    busy = Instance("2g.10gb", 0, 2, InstanceState.BUSY, uids[f"{HIDDEN}-mig"], "MIG-secret")
    memory: dict[str | None, int] = {uids["mine"]: 100, uids[f"{HIDDEN}-shared"]: 777, None: 5}
    await served.behind.create(scenes.node("node-a", replace(shared, parts=parts), processes=memory))
    await served.behind.create(scenes.node("node-b", replace(mig, instances=(busy,)), ready=False))
    await served.settled()


async def gpu(served: Served, user: str, name: str) -> dict[str, Any]:
    answer = await served[user].get("/gpus", params={"filterBy": f"name=={name}"})
    assert answer.status_code == 200, answer.text
    (shown,) = answer.json()["gpus"]
    found: dict[str, Any] = (await served[user].get(f"/gpus/{shown['id']}")).json()
    assert found == shown
    return found


async def test_a_gpu_tells_who_holds_what_and_what_is_free(served: Served) -> None:
    await filled(served)
    shown = await gpu(served, "admin", "node-a/0")
    assert (shown["allocated"], shown["free"], shown["closed"]) == (1.0, 0.0, [])
    assert [block["heldBy"] for block in shown["blocks"]] == ["team-a/mine", f"team-b/{HIDDEN}-shared"]
    assert [(one["workload"], one["memoryMib"]) for one in shown["processes"]] == [
        ("mine", 100),
        (f"{HIDDEN}-shared", 777),
        ("", 5),
    ]
    mig = await gpu(served, "admin", "node-b/0")
    assert (mig["mig"], mig["fenced"], mig["closed"]) == (True, True, ["node not ready", f"fenced: left by {HIDDEN}"])
    assert sum(block["size"] for block in mig["blocks"]) == 8
    assert mig["blocks"][0] == {
        "state": "busy",
        "size": 2,
        "title": "2g.10gb",
        "start": 0,
        "instance": "MIG-secret",
        "workload": f"{HIDDEN}-mig",
        "project": "team-b",
        "heldBy": f"team-b/{HIDDEN}-mig",
    }


async def test_what_others_hold_is_told_without_their_names(served: Served) -> None:
    await filled(served)
    shown = await gpu(served, "viewer", "node-a/0")
    assert [block["heldBy"] for block in shown["blocks"]] == ["team-a/mine", "another project"]
    assert [one["workload"] for one in shown["processes"]] == ["mine", ""]
    assert shown["free"] == 0.0
    for path in ("/nodes", "/nodes/node-a", "/nodes/node-b", "/gpus", "/node-pools"):
        answer = await served["viewer"].get(path)
        assert answer.status_code == 200
        assert HIDDEN not in answer.text
        assert "team-b" not in answer.text


async def test_nodes_tell_what_they_have_and_what_is_wrong(served: Served) -> None:
    await filled(served)
    ready, broken = (await served["viewer"].get("/nodes")).json()["nodes"]
    assert (ready["name"], ready["status"], ready["gpuInfo"]) == ("node-a", "Ready", {"gpuType": V100, "gpuCount": 1})
    assert (ready["allocatedGpus"], ready["freeGpus"]) == (1.0, 0.0)
    assert (broken["status"], broken["conditions"][0]["type"]) == ("NotReady", "Ready")
    count = await served["viewer"].get("/nodes/count", params={"filterBy": "status==Ready,allocatedGpus>=1"})
    assert count.json() == {"count": 1}
    assert (await served["viewer"].get(f"/nodes/{ready['id']}")).json() == ready
    assert (await served["admin"].get("/nodes/node-z")).status_code == 404


@pytest.mark.parametrize("user", USERS)
async def test_nodes_and_pools_are_changed_by_admins_only(served: Served, user: str) -> None:
    await filled(served)
    sees = (await served[user].get("/nodes")).json()["nodes"] != []
    expected = 200 if user in ADMINS else 403 if sees else 404
    for sent in ({"cordoned": True}, {"nodePool": "default"}, {"dynamicMig": False}):
        assert (await served[user].patch("/nodes/node-a", json=sent)).status_code == expected, sent
    assert (await served.behind.get(GpuNode, "node-a")).spec.cordoned is (user in ADMINS)
    made = await served[user].post("/node-pools", json={"name": "fast"})
    assert made.status_code == (201 if user in ADMINS else 403)
    deleted = await served[user].delete("/node-pools/fast")
    assert deleted.status_code == (204 if user in ADMINS else 404)


async def test_a_node_is_cordoned_and_its_mig_mode_is_answered_by_its_agent(served: Served) -> None:
    await filled(served)
    changed = (await served["admin"].patch("/nodes/node-b", json={"cordoned": True, "dynamicMig": False})).json()
    assert (changed["cordoned"], changed["dynamicMig"]["outcome"]) == (True, "")
    assert "node cordoned" in changed["gpus"][0]["closed"]
    node = await served.behind.get(GpuNode, "node-b")
    answer = DynamicMig(wanted=False, outcome="refused", message=f"{HIDDEN}-mig holds an instance")
    await served.behind.patch(node, {"status": {"dynamicMig": answer}})
    await served.settled()
    told = (await served["admin"].get("/nodes/node-b")).json()["dynamicMig"]
    assert told == {"wanted": False, "outcome": "refused", "message": answer.message}
    told = (await served["viewer"].get("/nodes/node-b")).json()["dynamicMig"]
    assert told == {"wanted": False, "outcome": "refused", "message": ""}


async def test_node_pools_are_made_changed_and_removed(served: Served) -> None:
    await filled(served)
    admin = served["admin"]
    (default,) = (await admin.get("/node-pools")).json()["nodepools"]
    assert (default["name"], default["isDefault"], default["nodes"]) == ("default", True, ["node-a", "node-b"])
    sent = {"name": "fast", "labelKey": "gpu", "labelValue": "a100", "placementStrategy": {"gpu": "spread"}}
    made = (await admin.post("/node-pools", json=sent)).json()
    stored = await served.behind.get(NodePool, "fast")
    assert stored.spec == NodePoolSpec(placement=Spreading.SPREAD, label_key="gpu", label_value="a100")
    assert (await admin.post("/node-pools", json=sent)).status_code == 409
    changed = await admin.put(f"/node-pools/{made['id']}", json={"memoryRule": "least-compute"})
    assert (changed.status_code, changed.json()["placementStrategy"]) == (200, {"gpu": "spread"})
    assert (await admin.patch("/nodes/node-a", json={"nodePool": made["id"]})).json()["nodePool"] == "fast"
    assert (await admin.delete("/node-pools/fast")).status_code == 409
    assert (await admin.patch("/nodes/node-a", json={"nodePool": "no-pool"})).status_code == 404
    refused = await admin.post("/node-pools", json={"name": "x", "overProvisioningRatio": 2})
    assert (refused.status_code, refused.json()["complianceIssues"][0]["field"]) == (400, "overProvisioningRatio")


async def test_a_pool_that_nodes_only_name_is_made_by_changing_it(served: Served) -> None:
    await filled(served)
    changed = await served["admin"].patch("/node-pools/default", json={"placementStrategy": {"gpu": "spread"}})
    assert changed.status_code == 200, changed.text
    assert (await served.behind.get(NodePool, "default")).spec.placement is Spreading.SPREAD
    assert (await served["viewer"].patch("/node-pools/default", json={})).status_code == 403


async def test_gpus_are_put_together_once_for_all_requests_until_something_changes(served: Served) -> None:
    await filled(served)
    request = Request({"type": "http", "headers": [(b"authorization", b"Bearer viewer")], "state": {}})
    one, two = await served.service.door(request), await served.service.door(request)
    assert await fleet_of(one) is await fleet_of(two)
    await served.behind.create(scenes.node("node-c", scenes.gpu("node-c", 0, V100)))
    await served.settled()
    assert [node.meta.name for node in (await fleet_of(one)).nodes] == ["node-a", "node-b", "node-c"]
