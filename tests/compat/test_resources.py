"""The client library's calls about projects, departments, machines, roles, tokens, presets, and all it has else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.compat.conftest import KINDS, PYTHON, Library
from tests.compat.test_client_library import Call, create
from tests.e2e.embedded import Embedded

MISSING = "0d4b8f3a-6a53-4a3c-9d0e-5b1f0e2c7a11"


def call(api: str, method: str, **arguments: Any) -> Call:
    return {"api": f"{api}Api", "method": method, "arguments": arguments}


def model(kind: str, /, **value: Any) -> dict[str, Any]:
    return {"model": kind, "value": value}


def done(library: Library, client: str, one: Call) -> Any:
    """The data that a call is answered with."""
    (outcome,) = library.calls(client, one)
    assert outcome.get("status", 500) < 300, outcome
    return outcome["data"]


def gone(library: Library, client: str, one: Call) -> None:
    assert library.calls(client, one)[0]["status"] == 404


def resources(deserved: float) -> list[dict[str, Any]]:
    pool = {"id": "default", "name": "default"}
    gpu = {"deserved": deserved, "limit": 4, "overQuotaWeight": 2}
    nothing = {"deserved": None, "limit": None, "overQuotaWeight": None}
    return [{"nodePool": pool, "gpu": gpu, "cpu": nothing, "memory": {**nothing, "units": "Mib"}, "priority": "0"}]


@pytest.fixture(scope="module")
def cluster(admins: Library) -> str:
    (found,) = done(admins, "synchronous", call("Clusters", "get_clusters"))
    assert done(admins, "synchronous", call("Clusters", "get_cluster_by_uuid", cluster_uuid=found["uuid"])) == found
    return str(found["uuid"])


@pytest.mark.parametrize("client", KINDS)
@pytest.mark.parametrize("kind", ["project", "department"])
def test_a_queue_is_made_changed_listed_and_deleted(admins: Library, cluster: str, kind: str, client: str) -> None:
    title, name = kind.capitalize(), f"{kind}-{client}"

    def ask(verb: str, **arguments: Any) -> Any:
        return done(admins, client, call(f"{title}s", verb, **arguments))

    asked = model(f"{title}CreationRequest", name=name, clusterId=cluster, resources=resources(1))
    made = ask(f"create_{kind}", **{f"{kind}_creation_request": asked})
    by_id = {f"{kind}_id": made["id"]}
    assert ask(f"get_{kind}", **by_id) == made
    assert made["clusterId"] == cluster
    change = model(f"{title}UpdateRequest", resources=resources(2))
    changed = ask(f"update_{kind}", **by_id, **{f"{kind}_update_request": change})
    assert changed["resources"][0]["gpu"] == {"deserved": 2, "limit": 4, "overQuotaWeight": 2}
    for verb, deserved in (("update", 3), ("patch", 1)):
        sent = [model("ResourcesNullable", **one) for one in resources(deserved)]
        changed = ask(f"{verb}_{kind}_resources", **by_id, resources_nullable=sent)
        assert changed["totalResources"] == {"gpuQuota": deserved}
    page = ask(f"get_{kind}s", filter_by=[f"name=={name}"], sort_by="name", sort_order="desc", offset=0, limit=5)
    assert [one["id"] for one in page[f"{kind}s"]] == [made["id"]]
    assert ask(f"count_{kind}s", filter_by=[f"name=={name}"]) == {"count": 1}
    ask(f"delete_{kind}", **by_id)
    gone(admins, client, call(f"{title}s", f"get_{kind}", **by_id))


@pytest.mark.parametrize("client", KINDS)
def test_the_project_that_a_step_is_for_is_found_by_its_name(library: Library, client: str) -> None:
    """As zenml's step operator looks for it."""
    page = done(library, client, call("Projects", "get_projects", search="default"))
    assert [project["name"] for project in page["projects"]] == ["default"]
    assert {"id", "name", "clusterId"} <= set(page["projects"][0])
    assert done(library, client, call("Projects", "count_projects", search="default")) == {"count": 1}
    assert done(library, client, call("Projects", "get_projects", search="absent"))["projects"] == []


@pytest.mark.parametrize("client", KINDS)
def test_nodes_and_node_pools(admins: Library, cluster: str, client: str) -> None:
    page = done(admins, client, call("Nodes", "get_tenant_nodes", sort_by="name", sort_order="asc", limit=1))
    (node,) = page["nodes"]
    assert node["gpuInfo"]["gpuCount"] >= 1
    found = done(admins, client, call("Nodes", "get_nodes", cluster_uuid=cluster, filter_by=[f"name=={node['name']}"]))
    assert [one["id"] for one in found["nodes"]] == [node["id"]]
    every = done(admins, client, call("Nodes", "count_tenant_nodes"))
    assert done(admins, client, call("Nodes", "count_nodes", cluster_uuid=cluster)) == every
    gone(admins, client, call("Nodes", "count_nodes", cluster_uuid=MISSING))
    asked = model(
        "NodepoolCreateFields",
        name=f"pool-{client}",
        labelKey="kind",
        labelValue=client,
        clusterId=cluster,
        placementStrategy={"gpu": "spread"},
    )
    made = done(admins, client, call("NodePools", "create_nodepool", nodepool_create_fields=asked))
    by_id = {"nodepool_id": made["id"]}
    for verb, label in (("patch", "a"), ("update", "b")):
        change = model("NodepoolUpdateFields", labelKey="kind", labelValue=label)
        changed = done(admins, client, call("NodePools", f"{verb}_nodepool", **by_id, nodepool_update_fields=change))
        assert changed["labelValue"] == label
    assert done(admins, client, call("NodePools", "get_nodepool", **by_id)) == changed
    named = {"filter_by": [f"name==pool-{client}"]}
    assert done(admins, client, call("NodePools", "get_nodepools", **named))["nodepools"] == [changed]
    assert done(admins, client, call("NodePools", "count_nodepools", **named)) == {"count": 1}
    done(admins, client, call("NodePools", "delete_nodepool", **by_id))
    gone(admins, client, call("NodePools", "get_nodepool", **by_id))


@pytest.mark.parametrize("client", KINDS)
def test_roles_are_given_listed_and_taken_back(admins: Library, client: str) -> None:
    roles = {role["name"]: role["id"] for role in done(admins, client, call("Roles", "get_roles_v1"))}
    viewer = done(admins, client, call("Roles", "get_role_v1", role_id_path=roles["viewer"]))
    assert viewer["name"] == "viewer"
    fields = model(
        "AccessRuleCreationFields",
        subjectId=f"{client}@example.org",
        subjectType="user",
        roleId=roles["viewer"],
        scopeId="default",
        scopeType="project",
    )
    made = done(admins, client, call("AccessRules", "create_access_rule", access_rule_creation_fields=fields))
    assert (made["roleId"], made["roleName"], made["scopeName"]) == (roles["viewer"], "viewer", "default")
    by_id = {"access_rule_id": made["id"]}
    assert done(admins, client, call("AccessRules", "get_access_rule", **by_id)) == made
    found = done(admins, client, call("AccessRules", "get_access_rules", subject_id_filter=f"{client}@example.org"))
    assert (found["totalRecords"], found["accessRules"]) == (1, [made])
    assert done(admins, client, call("AccessRules", "count_access_rules", search=client)) == {"count": 1}
    done(admins, client, call("AccessRules", "delete_access_rule", **by_id))
    gone(admins, client, call("AccessRules", "get_access_rule", **by_id))


@pytest.mark.parametrize("client", KINDS)
def test_tokens_and_the_callers_own_roles(admins: Library, library: Library, client: str) -> None:
    own = done(library, client, call("Me", "get_me_access_rules"))["accessRules"]
    assert [(rule["roleName"], rule["scopeName"]) for rule in own["accessRules"]] == [("researcher", "default")]
    assert done(library, client, call("Me", "count_me_access_rules")) == {"count": 1}
    asked = model("AccessKeyCreationRequest1", name=f"key-{client}")
    made = done(admins, client, call("AccessKeys", "create_access_key1", access_key_creation_request1=asked))
    assert made["clientId"] == f"key-{client}"
    assert made["clientSecret"]
    (kept,) = (
        one
        for one in done(admins, client, call("AccessKeys", "get_access_keys"))["accessKeys"]
        if one["id"] == made["id"]
    )
    assert "clientSecret" not in kept
    by_id = {"access_key_id": made["id"]}
    assert done(admins, client, call("AccessKeys", "get_access_key_by_id1", **by_id)) == kept
    done(admins, client, call("AccessKeys", "delete_access_key_by_id", **by_id))
    gone(admins, client, call("AccessKeys", "get_access_key_by_id1", **by_id))


@pytest.mark.parametrize("client", KINDS)
def test_a_preset_can_be_submitted_as_it_is(library: Library, one: Embedded, cluster: str, client: str) -> None:
    entries = done(library, client, call("Compute", "list_compute_assets"))["entries"]
    half = next(entry for entry in entries if entry["spec"].get("gpuPortionRequest") == 0.5)
    sliced = next(entry for entry in entries if "migProfile" in entry["spec"])
    assert any(entry["spec"] == {"gpuDevicesRequest": 1} for entry in entries)
    for asset in (half, sliced):
        asked = call("Compute", "get_compute_asset_by_id", asset_id=asset["meta"]["id"])
        assert done(library, client, asked) == asset
        sent = create("training", asset["meta"]["name"], cluster, compute=asset["spec"])
        done(library, client, sent)
    assert set(one.names()) == {half["meta"]["name"], sliced["meta"]["name"]}
    one.delete_all()
    gone(library, client, call("Compute", "get_compute_asset_by_id", asset_id=MISSING))
    assert done(library, client, call("Environment", "list_environment_assets"))["entries"] == []
    gone(library, client, call("Environment", "get_environment_asset_by_id", asset_id=MISSING))


@pytest.mark.parametrize("client", KINDS)
def test_pods_of_all_workloads(library: Library, one: Embedded, cluster: str, client: str) -> None:
    for name in ("a", "b"):
        done(library, client, create("training", name, cluster))
    claims = one.running("a", "b")
    page = done(library, client, call("Pods", "list_pods", filter_by=["workloadName==b"], limit=5, sort_by="name"))
    assert [pod["id"] for pod in page["pods"]] == [claims["b"].meta.uid]
    assert done(library, client, call("Pods", "count_pods", search="a")) == {"count": 2}, "it is in the project's name"
    one.delete_all()


@pytest.mark.parametrize("client", KINDS)
def test_what_there_is_not_is_told(admins: Library, client: str) -> None:
    assert done(admins, client, call("Reports", "are_reports_available")) == {"isAvailable": False}
    assert done(admins, client, call("Reports", "list_reports"))["reports"] == []
    assert done(admins, client, call("Reports", "count_reports")) == {"count": 0}
    asked = model("ServiceAccountCreationRequest", name="robot")
    missing = (
        call("Reports", "get_report_by_id", report_id=MISSING),
        call("ServiceAccounts", "get_service_accounts"),
        call("ServiceAccounts", "create_service_account", service_account_creation_request=asked),
        call("Compute", "delete_compute_asset_by_id", asset_id=MISSING),
        call("Users", "get_users"),
        call("Tenant", "get_tenant_settings"),
    )
    for outcome in admins.calls(client, *missing):
        assert outcome["status"] == 501, outcome
        assert "'code': 501, 'message': '" in outcome["text"], outcome


def paths() -> Iterator[tuple[str, str]]:
    """Method and path of every call that the library can make."""
    for file in sorted(PYTHON.parent.parent.glob("lib/python*/site-packages/runai/api/*_api.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                text = ast.unparse(node)
                path, method = re.search(r"resource_path = f?'([^']*)'", text), re.search(r"method = '(\w+)'", text)
                if path and method:
                    yield method[1], re.sub(r"{\w+}", MISSING, path[1]).replace("_", "-")


def test_no_path_of_the_library_is_unknown(one: Embedded) -> None:
    """What is not there is answered with 501 and the reason, or it is a thing of that id that is not there."""
    every = set(paths())
    assert len(every) > 300
    transport = httpx.HTTPTransport(uds=str(one.home / "migctl.sock"))
    with httpx.Client(transport=transport, base_url="http://migctl") as owner:
        for method, path in sorted(every):
            answer = owner.request(method, path, json=None if method == "GET" else {})
            told = answer.json()
            assert answer.status_code not in (405, 500), (method, path, told)
            assert not (answer.status_code == 404 and told["message"].endswith(": Not Found")), (method, path)
            if answer.status_code == 501:
                assert told["message"], path
        assert owner.get("/api/v1/nothing-at-all").status_code == 404
        assert owner.get("/v1/other").status_code == 404
