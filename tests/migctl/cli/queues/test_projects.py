"""Creating, choosing and changing projects, and which project a command is about."""

from __future__ import annotations

import json

import pytest

from migctl.objects import GpuRequest, Project
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli
from tests.migctl.cli.scenes import V100


def test_create_list_and_choose(cli: Cli) -> None:
    result = cli.ok("project", "create", "team-a", "--quota", "2", "--over-quota-weight", "high", "--limit", "4")
    assert result.out == "Created project team-a with a quota of 2.00 GPUs\n"
    assert result.err == "next: migctl project set team-a\n"
    cli.ok("project", "create", "team-b", "--quota", "-1")
    assert cli.ok("project", "set", "team-a").out == "Project team-a is the default now\n"
    lines = cli.ok("project", "list").lines
    assert lines[0].split()[:5] == ["NAME", "DEFAULT", "DEPARTMENT", "QUOTA", "LIMIT"]
    assert lines[1].split() == ["team-a", "*", "2.00", "4.00", "0.00", "0%", "0.00", "0.00", "0.00"]
    assert "unlimited" in lines[2]
    assert lines == cli.ok("list", "projects").lines
    assert cli.ok("whoami").lines[1].split() == ["Project:", "team-a"]


def test_config_project_is_the_older_word_for_set(team: Cli) -> None:
    del team.environ["MIGCTL_PROJECT"]
    team.ok("config", "project", "team-b")
    assert json.loads((team.home / ".config/migctl/config.json").read_text()) == {"project": "team-b"}
    team.ok("submit", "one", "-g", "1")
    assert team.ok("list", "-o", "json").out == team.ok("list", "-p", "team-b", "-o", "json").out


def test_flag_before_environment_before_config_file(team: Cli) -> None:
    team.ok("project", "set", "team-b")
    assert "no workloads in project team-a" in team.ok("list").err
    assert "no workloads in project team-b" in team.ok("list", "-p", "team-b").err
    assert "no workloads in project team-b" in team.ok("-p", "team-b", "list").err
    del team.environ["MIGCTL_PROJECT"]
    assert "no workloads in project team-b" in team.ok("list").err


def test_an_unknown_project_cannot_be_chosen(team: Cli) -> None:
    result = team("project", "set", "team-x")
    assert (result.code, result.err) == (3, "error: no project is called 'team-x'\nhint: projects: team-a, team-b\n")


def test_without_a_choice_the_only_project_is_meant(cli: Cli) -> None:
    assert cli("list").code == 3
    assert "migctl project create" in cli("list").err
    cli.ok("project", "create", "only")
    assert "no workloads in project only" in cli.ok("list").err
    cli.ok("project", "create", "second")
    result = cli("list")
    assert result.code == 2
    assert "projects: only, second" in result.err


def test_a_project_exists_once(team: Cli) -> None:
    assert team("project", "create", "team-a").code == 4


@pytest.mark.parametrize(
    "flags",
    [
        ["--quota", "-2"],
        ["--limit", "many"],
        ["--over-quota-weight", "some"],
        ["--min-runtime", "x"],
        ["--quota", "nan"],
    ],
)
def test_a_project_that_cannot_be(cli: Cli, flags: list[str]) -> None:
    assert cli("project", "create", "team-a", *flags).code == 2
    assert cli.do(lambda cluster: cluster.list(Project)).items == ()


def test_updating_changes_only_what_is_said(team: Cli) -> None:
    team.ok("project", "update", "team-a", "--limit", "3", "--min-runtime", "10m", "--over-quota-weight", "none")
    spec = team.do(lambda cluster: cluster.get(Project, "team-a")).spec
    assert (spec.quota, spec.limit, spec.min_runtime_s, spec.over_quota_weight) == (1.0, 3.0, 600.0, 0.0)
    assert team("project", "update", "team-a").code == 2


def test_a_project_with_workloads_stays(team: Cli) -> None:
    team.do(lambda cluster: scenes.workload(cluster, "one", GpuRequest()))
    result = team("project", "delete", "team-a")
    assert (result.code, "still has 1 workload(s): one" in result.err) == (4, True)
    team.ok("project", "delete", "team-b")
    assert team.ok("project", "list", "-o", "name").lines == ["project/team-a"]


def test_a_damaged_config_file_is_named_and_kept(team: Cli) -> None:
    path = team.home / ".config/migctl/config.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"project": 3')
    result = team("list")
    assert result.code == 1
    assert str(path) in result.err
    assert "hint: correct or remove it" in result.err
    assert path.read_text() == '{"project": 3'


def test_a_quota_of_its_own_in_a_node_pool(cli: Cli) -> None:
    cli.ok("project", "create", "team-a", "--quota", "1", "--pool", "a100=4:8", "--pool", "old=0")
    pools = cli.do(lambda cluster: cluster.get(Project, "team-a")).spec.pools
    assert {name: (pool.quota, pool.limit) for name, pool in pools.items()} == {"a100": (4.0, 8.0), "old": (0.0, -1.0)}
    cli.ok("project", "update", "team-a", "--pool", "a100=0", "--pool", "old=")
    pools = cli.do(lambda cluster: cluster.get(Project, "team-a")).spec.pools
    assert {name: (pool.quota, pool.limit) for name, pool in pools.items()} == {"a100": (0.0, -1.0)}
    assert "a100" in cli.ok("project", "describe", "team-a").out


@pytest.mark.parametrize("text", ["a100", "=4", "a100=many", "a100=-3", "a100=1:-5"])
def test_a_node_pools_quota_that_cannot_be(cli: Cli, text: str) -> None:
    assert cli("project", "create", "team-a", "--pool", text).code == 2


def test_describe_shows_quota_use_ratio_and_work(team: Cli) -> None:
    team.do(lambda cluster: scenes.workload(cluster, "one", GpuRequest(devices=1)))
    project = team.do(lambda cluster: cluster.get(Project, "team-a"))
    status = {"allocated": 1.5, "requested": 2.0, "fairShare": 1.0}
    team.do(lambda cluster: cluster.patch(project, {"status": status}))
    out = team.ok("project", "describe", "team-a").out
    assert "1.50 GPUs (150% of its quota)" in out
    assert "Fair share:" in out
    assert "one" in out
    assert json.loads(team.ok("project", "describe", "team-a", "-o", "json").out)["kind"] == "ProjectDescription"
    assert "150%" in team.ok("project", "list").lines[1]
    assert team("project", "describe", "team-x").code == 3


def test_a_department_or_node_pool_that_there_is_not_is_refused_at_the_door(team: Cli) -> None:
    team.do(lambda cluster: cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, V100))))
    team.ok("department", "create", "research")
    for words in ("create new", "update team-a"):
        result = team("project", *words.split(), "--department", "reserch")
        assert result.code == 3
        assert result.err.splitlines() == [
            "error: --department: no department is called 'reserch'", "hint: departments: research"
        ]  # fmt: skip
        result = team("project", *words.split(), "--pool", "a100=2")
        assert result.code == 3
        assert "no node pool is called 'a100'" in result.err
        assert "hint: node pools: default" in result.err
    assert team("department", "update", "research", "--pool", "a100=2").code == 3
    result = team("submit", "-g", "0.5", "--node-pools", "a100")
    assert (result.code, result.out) == (3, "")
    team.ok("project", "update", "team-a", "--department", "research", "--pool", "default=2")


def test_a_project_leaves_its_department(team: Cli) -> None:
    team.ok("department", "create", "research")
    team.ok("project", "update", "team-a", "--department", "research")
    refused = team("department", "delete", "research")
    assert refused.code == 4
    assert "migctl project update PROJECT --no-department" in refused.err
    assert team("project", "update", "team-a", "--department", "research", "--no-department").code == 2
    team.ok("project", "update", "team-a", "--no-department")
    assert json.loads(team.ok("project", "describe", "team-a", "-o", "json").out)["project"]["spec"] == {"quota": 1.0}
    team.ok("department", "delete", "research")
