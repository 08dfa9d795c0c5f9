"""Departments: making, changing, describing and deleting them."""

from __future__ import annotations

import json

from migctl.objects import Department
from tests.migctl.cli.conftest import Cli


def test_a_department_is_made_changed_and_listed(team: Cli) -> None:
    made = team.ok("department", "create", "research", "--quota", "8", "--over-quota-weight", "high")
    assert made.out == "Created department research\n"
    assert made.err == "next: migctl project update PROJECT --department research\n"
    team.ok("department", "update", "research", "--limit", "12", "--pool", "a100=4")
    spec = team.do(lambda cluster: cluster.get(Department, "research")).spec
    assert (spec.quota, spec.limit, spec.over_quota_weight, spec.pools["a100"].quota) == (8.0, 12.0, 3.0, 4.0)
    assert team.ok("department", "list").lines[1].split()[:2] == ["research", "8.00"]
    assert team("department", "create", "research").code == 4
    assert team("department", "update", "research").code == 2


def test_its_projects_are_shown_and_keep_it(team: Cli) -> None:
    team.ok("department", "create", "research")
    team.ok("project", "update", "team-a", "--department", "research")
    out = team.ok("department", "describe", "research").out
    assert "none of its own" in out
    assert "team-a" in out
    assert "team-b" not in out
    described = json.loads(team.ok("department", "describe", "research", "-o", "json").out)
    assert [project["meta"]["name"] for project in described["projects"]] == ["team-a"]
    refused = team("department", "delete", "research")
    assert (refused.code, "still has 1 project(s): team-a" in refused.err) == (4, True)
    team.ok("project", "delete", "team-a")
    assert team.ok("department", "delete", "research").out == "Deleted department research\n"
    assert team("department", "describe", "research").code == 3


def test_departments_that_are_unknown_are_named(team: Cli) -> None:
    team.ok("department", "create", "research")
    refused = team("department", "describe", "sales")
    assert refused.err == "error: no department is called 'sales'\nhint: departments: research\n"
