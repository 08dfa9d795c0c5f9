"""Logs, and programs beside a workload."""

from __future__ import annotations

import pytest

from migctl.backends.http.runtime import ExecEnvironment
from migctl.objects import GpuRequest
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli

BESIDE = ExecEnvironment({"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": "MIG-1"}, "/home/ada/work")


@pytest.fixture
def one(team: Cli) -> Cli:
    team.do(lambda cluster: scenes.workload(cluster, "one", GpuRequest()))
    team.cluster.written["team-a", "one"] = [b"first\n", b"second \xc3\xa9\n"]
    team.cluster.environments["team-a", "one"] = BESIDE
    return team


@pytest.mark.parametrize("words", [["one"], ["job", "one"], ["-f", "one"], ["workload/one", "-p", "team-a"]])
def test_logs(one: Cli, words: list[str]) -> None:
    assert one.ok("logs", *words).out == "first\nsecond \u00e9\n"


def test_the_last_lines_of_logs(one: Cli) -> None:
    assert one.ok("logs", "one", "--tail", "1").out == "second \u00e9\n"
    assert one.ok("training", "logs", "one", "--tail", "0").out == ""
    assert one("logs", "two").code == 3


@pytest.mark.parametrize(
    "words",
    [
        ["one", "nvidia-smi", "-L", "-p", "x"],
        ["one", "--", "nvidia-smi", "-L", "-p", "x"],
        ["one", "-p", "team-a", "--", "nvidia-smi", "-L", "-p", "x"],
        ["-it", "one", "--", "nvidia-smi", "-L", "-p", "x"],
        ["-p", "team-a", "one", "nvidia-smi", "-L", "-p", "x"],
    ],
)
def test_exec_runs_the_words_as_they_are(one: Cli, words: list[str]) -> None:
    one.ok("exec", *words)
    one.ok("training", "exec", *words)
    assert one.executed == [(["nvidia-smi", "-L", "-p", "x"], BESIDE.environment, BESIDE.directory)] * 2


def test_exec_without_a_command(one: Cli) -> None:
    result = one("exec", "one")
    assert (result.code, result.err) == (2, "error: no command is given\nhint: migctl exec one -- nvidia-smi\n")


def test_bash_falls_back_to_a_shell_that_is_there(one: Cli) -> None:
    one.ok("bash", "one")
    one.cluster.environments["team-a", "one"] = ExecEnvironment({"PATH": "/nowhere"}, "/")
    one.ok("bash", "one")
    assert [call[0] for call in one.executed] == [["bash"], ["sh"]]
