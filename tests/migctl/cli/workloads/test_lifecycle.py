"""Deleting, suspending and resuming."""

from __future__ import annotations

import pytest

from migctl.objects import GpuRequest, Phase, Workload, WorkloadType
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster


@pytest.fixture
def three(team: Cli) -> Cli:
    async def fill(cluster: Cluster) -> None:
        await scenes.workload(cluster, "one", GpuRequest())
        await scenes.workload(cluster, "two", GpuRequest(), type=WorkloadType.WORKSPACE)
        await scenes.workload(cluster, "over", GpuRequest(), phase=Phase.COMPLETED)

    team.do(fill)
    return team


def names(cli: Cli) -> list[str]:
    return [workload.meta.name for workload in cli.do(lambda cluster: cluster.list(Workload)).items]


@pytest.mark.parametrize(
    "words", [["one", "two"], ["job", "one", "two"], ["workload/one", "two"], ["one", "two", "one"]]
)
def test_delete_by_name(three: Cli, words: list[str]) -> None:
    assert three.ok("delete", *words).lines == ["workload one deleted", "workload two deleted"]
    assert names(three) == ["over"]


def test_what_is_not_there_is_not_found_and_nothing_is_deleted(three: Cli) -> None:
    result = three("delete", "one", "gone")
    assert result.code == 3
    assert result.err == "error: no workload 'gone' in project team-a\nhint: migctl list -p team-a\n"
    assert "one" in names(three)


def test_delete_wants_names_or_all(three: Cli) -> None:
    assert three("delete").code == 2
    assert three("delete", "one", "--all").code == 2
    three.ok("workspace", "delete", "--all")
    assert names(three) == ["one", "over"]
    three.ok("delete", "--all")
    assert names(three) == []


def test_a_noun_takes_only_its_own(three: Cli) -> None:
    result = three("training", "delete", "two")
    assert result.code == 3
    assert "it is a workspace: use migctl workspace" in result.err
    assert "two" in names(three)


def test_suspend_and_resume(three: Cli) -> None:
    def suspended() -> bool:
        return three.do(lambda cluster: cluster.get(Workload, "one", "team-a")).spec.suspended

    assert three.ok("suspend", "one").out == "workload one suspended\n"
    assert suspended()
    assert three.ok("suspend", "one").out == "workload one was suspended already\n"
    assert three.ok("resume", "job", "one").out == "workload one resumed\n"
    assert not suspended()
    assert three("suspend", "over").code == 4
