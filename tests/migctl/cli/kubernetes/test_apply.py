"""`apply -f` and `delete -f` on a cluster: the API server takes what it knows, and gets what we print as that."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from tests.fakes import manifests
from tests.fakes.kubernetes_cluster.cluster import FakeCluster
from tests.migctl.cli.kubernetes.command_line import Person, person

pytestmark = pytest.mark.anyio

HALF = {"gpu-fraction": "0.5"}
PROJECT = {"apiVersion": "migctl.dev/v1alpha1", "kind": "Project", "spec": {"quota": 1}}


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    with capture_logs():
        async with FakeCluster().running() as made, made.controller():
            await made.node("node-a", "v100")
            await made.project("team-a", quota=1)
            yield made


@pytest.fixture
def ana(cluster: FakeCluster, tmp_path: Path) -> Person:
    return person(cluster, tmp_path)


def job(name: str, annotations: dict[str, str]) -> Any:
    return {"apiVersion": "batch/v1", "kind": "Job", **manifests.job(name, annotations)}


def written(folder: Path, *documents: Any) -> str:
    path = folder / "w.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


SUBMITS = (
    (
        "submit",
        "one",
        "-g",
        "0.5",
        "-i",
        "busybox",
        "-e",
        "A=1",
        "--no-move",
        "--gpu-model",
        "v100",
        "--",
        "sleep",
        "9",
    ),
    ("submit", "one", "-g", "1", "-i", "busybox", "--parallelism", "2", "--completions", "4", "--suspend"),
    ("submit", "one", "--gpu-memory", "5G", "-i", "busybox", "--interactive", "--label", "team=vision"),
    ("inference", "submit", "one", "--gpu-portion-request", "0.25", "-i", "busybox"),
)


@pytest.mark.parametrize("words", SUBMITS, ids=" ".join)
async def test_what_a_dry_run_prints_makes_the_same_objects(
    cluster: FakeCluster, ana: Person, tmp_path: Path, words: tuple[str, ...]
) -> None:
    plural = {"inference": "deployments"}.get(words[0], "statefulsets" if "--interactive" in words else "jobs")
    at = words.index("--") if "--" in words else len(words)
    printed = (await ana.ok(*words[:at], "--dry-run", "-o", "yaml", *words[at:])).out
    file = tmp_path / "one.yaml"
    file.write_text(printed)
    kind = {"jobs": "job", "statefulsets": "statefulset", "deployments": "deployment"}[plural]
    assert (await ana.ok("apply", "-f", str(file))).out == f"{kind}/one created\n"
    applied = cluster.get(plural, "one", "team-a") or {}
    assert (await ana.ok("apply", "-f", str(file))).out == f"{kind}/one unchanged\n"
    assert (await ana.ok("delete", "-f", str(file))).out == f"{kind}/one deleted\n"
    await cluster.until(lambda: cluster.get(plural, "one", "team-a") is None)
    await ana.ok(*words)
    submitted = cluster.get(plural, "one", "team-a") or {}
    assert _said(applied) == _said(submitted)


def _said(obj: Any) -> Any:
    return obj["spec"], obj["metadata"].get("labels"), obj["metadata"].get("annotations")


async def test_objects_of_kubernetes_go_to_the_api_server(cluster: FakeCluster, tmp_path: Path) -> None:
    ana = person(cluster, tmp_path, "admin")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}
    train = job("train", HALF)
    file = written(tmp_path, config, train)
    assert (await ana.ok("apply", "-f", file, "--dry-run")).out == (
        "configmap/settings created (dry run)\njob/train created (dry run)\n"
    )
    assert cluster.get("jobs", "train", "team-a") is None
    assert (await ana.ok("apply", "-f", file)).out == "configmap/settings created\njob/train created\n"
    await cluster.until(lambda: "Running" in cluster.phases("team-a").values())
    changed = written(tmp_path, {**config, "data": {"a": "2"}}, train)
    assert (await ana.ok("apply", "-f", changed)).out == "configmap/settings configured\njob/train unchanged\n"
    listed = json.loads((await ana.ok("list", "-o", "json")).out)
    assert [item["meta"]["name"] for item in listed["items"]] == ["train"]


async def test_an_exported_object_is_taken_as_it_is(cluster: FakeCluster, ana: Person, tmp_path: Path) -> None:
    await ana.ok("apply", "-f", written(tmp_path, job("train", HALF)))
    exported = {"apiVersion": "batch/v1", "kind": "Job", **(cluster.get("jobs", "train", "team-a") or {})}
    assert exported["metadata"]["uid"]
    exported["metadata"]["managedFields"] = [{"manager": "kubectl", "operation": "Update"}]
    exported["metadata"]["resourceVersion"] = "1"
    assert (await ana.ok("apply", "-f", written(tmp_path, exported))).out == "job/train unchanged\n"
    assert (await ana.ok("diff", "-f", written(tmp_path, exported))).out == ""


async def test_what_admission_refuses_stops_all_of_it(cluster: FakeCluster, ana: Person, tmp_path: Path) -> None:
    good, bad = job("good", HALF), job("bad", {"gpu-fraction": "1.2"})
    result = await ana("apply", "-f", written(tmp_path, good, bad))
    assert result.code == 2
    assert "w.yaml, document 2 (Job bad): " in result.err
    assert "not a part of a GPU" in result.err
    assert cluster.get("jobs", "good", "team-a") is None


async def test_kinds_and_rights_that_are_missing(cluster: FakeCluster, ana: Person, tmp_path: Path) -> None:
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}
    unknown = await ana("apply", "-f", written(tmp_path, thing))
    assert (unknown.code, "this cluster has no Thing of example.com/v1" in unknown.err) == (2, True), unknown
    project = {"apiVersion": "migctl.dev/v1alpha1", "kind": "Project", "meta": {"name": "team-z"}, "spec": {"quota": 1}}
    refused = await ana("apply", "-f", written(tmp_path, project))
    assert (refused.code, "(Project team-z): ana may not" in refused.err) == (6, True), refused
    boss = person(cluster, tmp_path, "admin")
    assert (await boss.ok("apply", "-f", written(tmp_path, project))).out == "project/team-z created\n"
    assert (await boss.ok("apply", "-f", written(tmp_path, project))).out == "project/team-z unchanged\n"
    in_a_namespace = {**thing, "apiVersion": "v1", "kind": "Node", "metadata": {"name": "x", "namespace": "team-a"}}
    assert "a Node is in no namespace" in (await boss("apply", "-f", written(tmp_path, in_a_namespace))).err
    nameless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}
    assert "an object needs a name" in (await boss("apply", "-f", written(tmp_path, nameless))).err


async def test_a_project_and_what_runs_in_it_in_one_file(cluster: FakeCluster, tmp_path: Path) -> None:
    """The namespace is there when the controller has made it, a moment after the project."""
    boss = person(cluster, tmp_path, "admin")
    project = {
        "apiVersion": "migctl.dev/v1alpha1",
        "kind": "Project",
        "metadata": {"name": "new"},
        "spec": {"quota": 1},
    }
    train = job("train", HALF)
    train["metadata"]["namespace"] = "new"
    said = await boss.ok("apply", "-f", written(tmp_path, project, train))
    assert said.out == "project/new created\njob/train created\n"
    await cluster.until(lambda: "Running" in cluster.phases("new").values())


async def test_what_was_applied_before_an_error_is_said(cluster: FakeCluster, tmp_path: Path) -> None:
    boss = person(cluster, tmp_path, "admin")
    project = {
        "apiVersion": "migctl.dev/v1alpha1",
        "kind": "Project",
        "metadata": {"name": "new"},
        "spec": {"quota": 1},
    }
    bad = job("bad", {"gpu-fraction": "1.2"})
    bad["metadata"]["namespace"] = "new"
    result = await boss("apply", "-f", written(tmp_path, project, bad))
    assert (result.code, result.out) == (2, "project/new created\n")
    assert "note: 1 of 2 objects were applied before this error" in result.err
