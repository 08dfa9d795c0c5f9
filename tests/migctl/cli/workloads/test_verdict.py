"""`submit --verdict`: where it would start or why it would wait, in both grammars, and nothing is created."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from migctl.cli.failures import ExitCode
from migctl.objects import Claim, GpuRequest, PlacementPlan, Workload
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100, V100, Placed

COLOUR = re.compile(r"\x1b\[\d*m")


@pytest.fixture
def fleet(team: Cli) -> Cli:
    """node-a with an A100 in MIG mode and a V100, both free."""

    async def make(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, A100), scenes.gpu("node-a", 1, V100)))

    team.do(make)
    return team


@pytest.fixture
def full(fleet: Cli) -> Cli:
    """The same, full: the A100 is a preemptible training's of team-a, the V100 a workspace's of team-b."""

    async def fill(cluster: Cluster) -> None:
        card, v100 = scenes.gpu("node-a", 0, A100), scenes.gpu("node-a", 1, V100)
        mine, theirs = scenes.mig_share(card, "7g.40gb", 0), scenes.whole(v100)
        await scenes.workload(cluster, "mine", GpuRequest(devices=1), Placed("node-a", (mine,)))
        await scenes.workload(
            cluster, "theirs", GpuRequest(devices=1), Placed("node-a", (theirs,)), project="team-b", preemptible=False
        )

    fleet.do(fill)
    return fleet


def record(cli: Cli, *words: str, code: int = 0) -> dict[str, Any]:
    result = cli(*words, "--verdict", "-o", "json")
    assert result.code == code, result
    found: dict[str, Any] = json.loads(result.out)
    return found


def created(cli: Cli) -> list[str]:
    async def names(cluster: Cluster) -> list[str]:
        made = [workload.meta.name for workload in (await cluster.list(Workload)).items]
        made += [claim.meta.name for claim in (await cluster.list(Claim)).items]
        return made + [plan.meta.name for plan in (await cluster.list(PlacementPlan)).items]

    return cli.do(names)


def test_what_would_start_says_where_and_creates_nothing(fleet: Cli) -> None:
    result = fleet.ok("submit", "one", "-g", "0.5", "--verdict")
    assert result.out == (
        "Training one would start now in project team-a: 0.50 GPU\n"
        "Places:\n"
        "  POD   GPU        SHARE              MEMORY      GIVEN\n"
        "  0     node-a/0   mig 3g.20gb at 4   19968 MiB   0.5 GPU -> 3g.20gb (19968 MiB)\n"
        "On the GPUs:\n"
        "  create 3g.20gb@4 on node-a/0\n"
    )
    assert created(fleet) == []


def test_the_record_has_places_and_steps(fleet: Cli) -> None:
    found = record(fleet, "submit", "one", "-g", "0.5")
    assert (found["apiVersion"], found["kind"]) == ("migctl.dev/v1alpha1", "WorkloadVerdict")
    assert (found["prospect"], found["pods"], found["starting"]) == ("starts", 1, 1)
    (place,) = found["places"]
    assert place["node"] == "node-a"
    assert (
        place["devices"][0] | {"name": "node-a/0", "profile": "3g.20gb", "start": 4, "size": 4} == place["devices"][0]
    )
    assert [step["action"] for step in found["steps"]] == ["create", "assign"]
    assert found["steps"][1]["after"] == [0]


@pytest.mark.parametrize(
    "words",
    [
        ("training", "submit", "one", "--gpu-portion-request", "0.5"),
        ("workspace", "submit", "one", "--gpu-portion-request", "0.5"),
        ("inference", "submit", "one", "--gpu-portion-request", "0.5"),
        ("submit", "one", "-g", "0.5", "--interactive"),
    ],
)
def test_both_grammars_have_it(fleet: Cli, words: tuple[str, ...]) -> None:
    assert record(fleet, *words)["prospect"] == "starts"
    assert created(fleet) == []


def test_what_would_wait_says_why_and_what_would_free_it(full: Cli) -> None:
    full.columns = 80
    result = full("submit", "one", "-g", "0.5", "--verdict")
    assert result.code == ExitCode.UNSCHEDULABLE
    assert "Training one would wait in project team-a: 0.50 GPU\n" in result.out
    assert "no-free-gpu: no free start for 0.5 GPU" in result.out
    assert "team-a/mine" in result.out.partition("In the way:")[2]
    assert "project team-a" in result.out.partition("Quota, in GPUs:")[2]
    assert max(len(COLOUR.sub("", line)) for line in result.lines) <= 80
    found = record(full, "submit", "one", "-g", "0.5", code=5)
    (blocker,) = found["blockers"]
    assert blocker["own"]
    assert (blocker["name"], blocker["user"], blocker["preemptible"]) == ("team-a/mine", "ada", True)
    assert found["queues"][0]["name"] == "team-a"


def test_the_reason_is_that_of_why(full: Cli) -> None:
    text = record(full, "submit", "one", "-g", "0.5", code=5)["reasons"][0]
    full.ok("submit", "one", "-g", "0.5")

    async def claim(cluster: Cluster) -> None:
        await scenes.workload(cluster, "same", GpuRequest(fraction=0.5))

    full.do(claim)
    (why,) = json.loads(full.ok("why", "same", "-o", "json").out)["reasons"]
    assert why == f"{text['code']}: {text['text']}"


def test_whom_it_would_stop(full: Cli) -> None:
    result = full.ok("submit", "one", "-g", "1", "--interactive", "--verdict")
    assert "Workspace one would start once others have made room in project team-a: 1 GPU\n" in result.out
    found = record(full, "submit", "one", "-g", "1", "--interactive")
    assert found["prospect"] == "makes-room"
    (eviction,) = found["evictions"]
    assert (eviction["name"], eviction["own"]) == ("team-a/mine", True)
    assert "preempted for team-a/one" in eviction["why"]
    assert found["places"][0]["waitsFor"] == ["team-a/mine"]


def test_of_several_pods_it_says_how_many_would_start(fleet: Cli) -> None:
    result = fleet("submit", "many", "--mig-profile", "3g.20gb", "--parallelism", "3", "--verdict")
    assert result.code == ExitCode.UNSCHEDULABLE
    assert "Training many would start in part" in result.out
    assert "2 of 3 pods start now\n" in result.out
    found = record(fleet, "submit", "many", "--mig-profile", "3g.20gb", "--parallelism", "3", code=5)
    assert (found["pods"], found["starting"], found["waiting"]) == (3, 2, 1)
    assert len(found["places"]) == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-g", "1", "-p", "none"), ExitCode.NOT_FOUND, "no project is called 'none'"),
        (("--mig-profile", "9g.90gb"), ExitCode.USAGE, "no GPU of this cluster has a MIG profile"),
        (("-g", "1", "--parallelism", "0"), ExitCode.USAGE, "invalid value for '--parallelism'"),
        (("-g", "1", "--suspend"), ExitCode.USAGE, "a suspended workload"),
        (("-g", "1", "--dry-run"), ExitCode.USAGE, "--verdict and --dry-run exclude each other"),
    ],
)
def test_what_admission_refuses_is_an_error_and_no_verdict(
    fleet: Cli, words: tuple[str, ...], code: ExitCode, said: str
) -> None:
    result = fleet("submit", "one", *words, "--verdict")
    assert result.code == code, result
    assert said in result.err
    assert result.out == ""


def test_a_name_that_is_taken_is_a_conflict(full: Cli) -> None:
    result = full("submit", "mine", "-g", "1", "--verdict")
    assert result.code == ExitCode.CONFLICT
    assert "already has a workload 'mine'" in result.err


def test_those_who_wait_already_are_decided_on_as_well(full: Cli) -> None:
    async def wait(cluster: Cluster) -> None:
        await scenes.workload(cluster, "first", GpuRequest(devices=1))

    full.do(wait)
    assert "decided together with 1 pod that waits already" in full("submit", "one", "-g", "1", "--verdict").out
    assert record(full, "submit", "one", "-g", "1", code=5)["inQueue"] == 1
