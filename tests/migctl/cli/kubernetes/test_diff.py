"""`diff -f` on a cluster: a dry run of the API server says what would be, and nothing is written."""

from __future__ import annotations

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


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    with capture_logs():
        async with FakeCluster().running() as made, made.controller():
            await made.node("node-a", "v100")
            await made.project("team-a", quota=1)
            yield made


@pytest.fixture
def boss(cluster: FakeCluster, tmp_path: Path) -> Person:
    return person(cluster, tmp_path, "admin")


def written(folder: Path, *documents: Any) -> str:
    path = folder / "w.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}, "data": data}


def changes(out: str) -> list[str]:
    return [line for line in out.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]


async def test_what_would_be_is_shown_and_nothing_is_written(
    cluster: FakeCluster, boss: Person, tmp_path: Path
) -> None:
    new = await boss("diff", "-f", written(tmp_path, config(a="1")), "-p", "team-a")
    assert (new.code, new.out.splitlines()[0]) == (1, "--- configmap/settings now")
    assert "+  a: '1'" in new.out
    assert cluster.get("configmaps", "settings", "team-a") is None
    await boss.ok("apply", "-f", written(tmp_path, config(a="1")), "-p", "team-a")
    assert (await boss.ok("diff", "-f", written(tmp_path, config(a="1")), "-p", "team-a")).out == ""
    other = await boss("diff", "-f", written(tmp_path, config(a="2")), "-p", "team-a")
    assert (other.code, changes(other.out)) == (1, ["-  a: '1'", "+  a: '2'"])
    stored = cluster.get("configmaps", "settings", "team-a") or {}
    assert stored["data"] == {"a": "1"}


async def test_values_of_secrets_are_not_shown(boss: Person, tmp_path: Path) -> None:
    await boss.ok("apply", "-f", written(tmp_path, secret(token="aGk=", same="eA==")), "-p", "team-a")
    result = await boss("diff", "-f", written(tmp_path, secret(token="aG8=", same="eA==", new="eg==")), "-p", "team-a")
    assert result.code == 1
    assert not any(value in result.out for value in ("aGk=", "aG8=", "eA==", "eg=="))
    assert "-  token: (not shown)" in changes(result.out)
    assert "+  token: (not shown, and another one)" in changes(result.out)
    assert not any("same" in line for line in changes(result.out))


async def test_what_admission_adds_is_a_part_of_it(cluster: FakeCluster, boss: Person, tmp_path: Path) -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", **manifests.job("train", {"gpu-fraction": "0.5"})}
    await boss.ok("apply", "-f", written(tmp_path, job), "-p", "team-a")
    assert (await boss.ok("diff", "-f", written(tmp_path, job), "-p", "team-a")).out == ""
    bad = {"apiVersion": "batch/v1", "kind": "Job", **manifests.job("bad", {"gpu-fraction": "1.2"})}
    refused = await boss("diff", "-f", written(tmp_path, bad), "-p", "team-a")
    assert (refused.code, "not a part of a GPU" in refused.err) == (2, True)


async def test_a_project_that_is_not_there_and_what_runs_in_it(boss: Person, tmp_path: Path) -> None:
    project = {"apiVersion": "migctl.dev/v1alpha1", "kind": "Project", "meta": {"name": "new"}, "spec": {"quota": 1}}
    job = {"apiVersion": "batch/v1", "kind": "Job", **manifests.job("train", {"gpu-fraction": "0.5"})}
    job["metadata"]["namespace"] = "new"
    result = await boss("diff", "-f", written(tmp_path, job, project))
    assert (result.code, [line for line in result.out.splitlines() if line.startswith("+++")]) == (
        1,
        ["+++ project/new applied", "+++ job/train applied"],
    )
