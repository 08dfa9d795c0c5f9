"""What `list`, `workload list`, `node list` and `project list` show."""

from __future__ import annotations

import json

import pytest
import yaml

from migctl.objects import GpuRequest, Phase, WorkloadType
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100, V100, Placed


@pytest.fixture
def busy(team: Cli) -> Cli:
    """A V100 shared by two, a third that waits; a MIG instance; what is suspended, done and elsewhere."""
    v100, a100 = scenes.gpu("node-a", 0, V100), scenes.gpu("node-b", 0, A100)

    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-a", v100))
        await cluster.create(scenes.node("node-b", a100))
        half = GpuRequest(fraction=0.5)
        on_v100 = Placed("node-a", (scenes.software_share(v100, 0.5),))
        await scenes.workload(cluster, "frac05", half, on_v100, labels={"run": "one"})
        team.clock.advance(60)
        await scenes.workload(cluster, "frac05-2", half, on_v100, labels={"run": "two"})
        team.clock.advance(60)
        third = GpuRequest(fraction=0.3)
        await scenes.workload(cluster, "frac03", third, type=WorkloadType.WORKSPACE, message="no GPU has 0.50 free")
        mig = Placed("node-b", (scenes.mig_share(a100, "2g.10gb", 0),))
        await scenes.workload(cluster, "mem", GpuRequest(memory_mib=9537), mig)
        await scenes.workload(cluster, "paused", GpuRequest(fraction=0.1), phase=Phase.SUSPENDED)
        await scenes.workload(cluster, "done", GpuRequest(fraction=0.3), phase=Phase.COMPLETED)
        await scenes.workload(cluster, "other", GpuRequest(), project="team-b")

    team.do(fill)
    return team


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("   ") if cell.strip()]


def test_list_jobs_has_the_known_columns_and_first_line(busy: Cli) -> None:
    lines = busy.ok("list").lines
    assert lines[0] == "Showing jobs for project team-a"
    assert cells(lines[1]) == [
        "NAME", "STATUS", "AGE", "NODE", "IMAGE", "TYPE", "PROJECT", "USER",
        "GPUs Allocated (Requested)", "PODs Running (Pending)", "SERVICE URL(S)",
    ]  # fmt: skip
    assert cells(lines[2]) == [
        "frac05", "Running", "2m", "node-a", "ubuntu", "Train", "team-a", "ada", "0.50 (0.50)", "1 (0)"
    ]  # fmt: skip
    assert lines == busy.ok("list", "jobs").lines


@pytest.mark.parametrize(
    ("name", "gpus"),
    [
        ("frac03", "0.00 (0.30)"),
        ("mem", "0.29 (9537 MiB)"),
        ("paused", "0.00 (0.10)"),
        ("done", "- (0.30)"),
        ("other", "0.00 (1.00)"),
    ],
)
def test_gpus_allocated_and_requested(busy: Cli, name: str, gpus: str) -> None:
    line = next(line for line in busy.ok("list", "-A").lines if line.startswith(name + " "))
    assert gpus in cells(line)


def test_all_projects_has_no_first_line(busy: Cli) -> None:
    lines = busy.ok("list", "jobs", "-A").lines
    assert lines[0].startswith("NAME ")
    assert len(lines) == 8


def test_workload_list_has_the_noun_first_columns(busy: Cli) -> None:
    lines = busy.ok("workload", "list", "-A").lines
    assert cells(lines[0]) == ["WORKLOAD", "TYPE", "STATUS", "PROJECT", "RUNNING/REQ. PODS", "GPU ALLOC."]
    assert cells(lines[1]) == ["frac05", "Training", "Running", "team-a", "1/1", "0.50"]


def test_a_noun_lists_its_own(busy: Cli) -> None:
    assert busy.ok("workspace", "list", "-o", "name").lines == ["workload/frac03"]
    assert "workload/frac03" not in busy.ok("training", "list", "-o", "name").lines


def test_wide_shows_why_something_waits(busy: Cli) -> None:
    assert "no GPU has 0.50 free" in busy.ok("list", "-o", "wide").out
    assert "no GPU has 0.50 free" not in busy.ok("list").out


def test_json_and_yaml_say_the_same(busy: Cli) -> None:
    body = json.loads(busy.ok("list", "-A", "-o", "json").out)
    assert (body["apiVersion"], body["kind"]) == ("migctl.dev/v1alpha1", "WorkloadList")
    assert {item["kind"] for item in body["items"]} == {"Workload"}
    assert body["items"][0]["meta"]["created"] == "2030-01-01T00:00:00Z"
    assert yaml.safe_load(busy.ok("list", "-A", "-o", "yaml").out) == body


def test_no_headers_leaves_only_rows(busy: Cli) -> None:
    lines = busy.ok("list", "--no-headers").lines
    assert lines[0].startswith("frac05 ")
    assert len(lines) == 6


def test_sorting_by_a_column(busy: Cli) -> None:
    lines = busy.ok("list", "--no-headers", "--sort-by", "gpus allocated (requested)").lines
    assert lines[-1].startswith("frac05-2 ")
    assert busy.ok("list", "--no-headers", "--sort-by", "age").lines[-1].startswith("frac05 ")
    result = busy("list", "--sort-by", "colour")
    assert result.code == 2
    assert "'GPUs Allocated (Requested)'" in result.err


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ("run", ["frac05", "frac05-2"]),
        ("run=one", ["frac05"]),
        ("run!=one,run", ["frac05-2"]),
        ("!run,x!=y", ["done", "frac03", "mem", "paused"]),
    ],
)
def test_label_selectors(busy: Cli, labels: str, names: list[str]) -> None:
    assert busy.ok("list", "-l", labels, "-o", "name").lines == [f"workload/{name}" for name in names]


@pytest.mark.parametrize("labels", ["=", "a=b=c", "a b", "!a=b", ""])
def test_a_selector_that_is_none(busy: Cli, labels: str) -> None:
    assert busy("list", "-l", labels).code == 2


def test_an_empty_project_says_so_on_stderr_only(team: Cli) -> None:
    result = team.ok("list", "-p", "team-b")
    assert (result.out, result.err) == ("", "no workloads in project team-b\n")
    assert json.loads(team.ok("list", "-o", "json").out)["items"] == []


def test_nodes_show_what_is_allocated(busy: Cli) -> None:
    lines = busy.ok("list", "nodes").lines
    assert cells(lines[0]) == [
        "NAME", "STATUS", "POOL", "GPU TYPE", "MIG", "GPUs", "ALLOCATED", "AGE", "MESSAGE"
    ]  # fmt: skip
    assert cells(lines[1]) == ["node-a", "Ready", "default", "V100", "off", "1", "1.00", "2m"]
    assert cells(lines[2]) == ["node-b", "Ready", "default", "A100-40GB", "on", "1", "0.29", "2m"]
    assert lines == busy.ok("node", "list").lines


def test_the_output_setting_and_its_precedence(busy: Cli) -> None:
    busy.environ["MIGCTL_OUTPUT"] = "name"
    assert busy.ok("list").lines[0] == "workload/frac05"
    assert busy.ok("-o", "table", "list").lines[0].startswith("Showing")
    assert busy.ok("-o", "table", "list", "-o", "json").out.startswith("{")
    busy.environ["MIGCTL_OUTPUT"] = "xml"
    assert busy("list").err == "error: no output is called 'xml'\nhint: one of table, wide, json, yaml, name\n"
