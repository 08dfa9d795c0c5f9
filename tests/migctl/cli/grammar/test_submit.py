"""From a command line to a workload."""

from __future__ import annotations

import errno
import json
import os

import pytest

from migctl.objects import Workload
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli


def stored(cli: Cli, name: str, project: str = "team-a") -> Workload:
    return cli.do(lambda cluster: cluster.get(Workload, name, project))


def test_a_fraction_becomes_a_preemptible_training(team: Cli) -> None:
    result = team.ok(
        "submit", "frac05", "-i", "ubuntu", "-g", "0.5", "-e", "A=1", "-e", "B=x=y", "--", "python", "-u", "train.py"
    )
    assert result.out == "Submitted training frac05 to project team-a: 0.50 GPU\n"
    assert "next: migctl describe frac05\n" in result.err
    spec = stored(team, "frac05").spec
    assert (spec.type, spec.priority, spec.preemptible) == ("training", 50, True)
    assert spec.gpu_request.fraction == 0.5
    assert spec.command == ("python", "-u", "train.py")
    assert spec.environment == {"A": "1", "B": "x=y"}
    assert (spec.image, spec.user, spec.directory) == ("ubuntu", "ada", "/home/ada/work")


@pytest.mark.parametrize(
    ("flags", "kind", "priority", "preemptible"),
    [
        ([], "training", 50, True),
        (["--interactive"], "workspace", 100, False),
        (["--interactive", "--preemptible"], "workspace", 75, True),
    ],
)
def test_priority_follows_from_the_kind(
    team: Cli, flags: list[str], kind: str, priority: int, preemptible: bool
) -> None:
    team.ok("submit", "one", "-g", "1", *flags)
    spec = stored(team, "one").spec
    assert (spec.type, spec.priority, spec.preemptible) == (kind, priority, preemptible)


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["-g", "0.5"], {"fraction": 0.5}),
        (["-g", "0.5", "--gpu-devices", "2"], {"fraction": 0.5, "devices": 2}),
        (["-g", "2"], {"devices": 2}),
        (["-g", "2", "--gpu-model", "V100"], {"devices": 2, "model": "V100"}),
        (["--gpu-memory", "5G"], {"memoryMib": 4769}),
        (["--gpu-memory", "5G", "--gpu-devices", "2"], {"memoryMib": 4769, "devices": 2}),
        (["--mig-profile", "2g.10gb"], {"profile": "2g.10gb"}),
        (["--gpu-devices", "3"], {"devices": 3}),
    ],
)
def test_what_is_asked_for(team: Cli, flags: list[str], wanted: dict[str, object]) -> None:
    assert json.loads(team.ok("submit", "one", *flags, "-o", "json").out)["spec"]["gpuRequest"] == wanted


def test_no_name_gives_a_generated_one(team: Cli) -> None:
    assert team.ok("submit", "--gpu-memory", "5G").out == "Submitted training job-1a2b to project team-a: 4769 MiB\n"


def test_a_generated_name_that_is_taken_is_not_used(team: Cli) -> None:
    team.ok("submit", "job-1a2b", "-g", "1")
    assert team.ok("submit", "-g", "1", "-o", "name").out == "workload/job-1a2c\n"


def test_words_after_the_dashes_are_never_the_name(team: Cli) -> None:
    team.ok("submit", "-g", "1", "--", "python", "-p", "elsewhere")
    assert stored(team, "job-1a2b").spec.command == ("python", "-p", "elsewhere")


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        (["-g", "0"], "part of one GPU"),
        (["-g", "-1"], "part of one GPU"),
        (["-g", "1.5"], "part of one GPU"),
        (["-g", "abc"], "part of one GPU"),
        (["--gpu-memory", "5X"], "M, Mi, MB"),
        (["--gpu-memory", "99M"], "at least 100 MB"),
        (["-g", "0.5", "--gpu-memory", "5G"], "exclude each other"),
        (["-g", "1", "--mig-profile", "1g.5gb"], "exclude each other"),
        (["-g", "2", "--gpu-devices", "2"], "no request"),
        (["-g", "1", "--gpu-devices", "0"], "gpu-devices"),
        ([], "no GPU is asked for"),
        (["-g", "1", "-e", "NOVALUE"], "NOVALUE"),
        (["-g", "1", "--ttl-after-finish", "soon"], "duration"),
        (["-g", "1", "--interactive", "--completions", "3"], "workspace"),
        (["-g", "1", "-e", "1A=2"], "'1A' is no variable"),
        (["--mig-profile", "9g.5gb"], "there are 1g.5gb"),
        (["-g", "1", "--no-such-flag"], "no such option"),
        (["-g", "1", "python", "train.py"], "unexpected extra argument"),
    ],
)
def test_what_cannot_be_is_refused_with_the_rule(team: Cli, flags: list[str], rule: str) -> None:
    team.do(lambda cluster: cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, scenes.A100))))
    result = team("submit", "bad", *flags)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert rule in result.err
    assert result.out == ""
    assert team.do(lambda cluster: cluster.list(Workload)).items == ()


@pytest.mark.parametrize("name", ["Frac", "a_b", "a" * 64, "a.b", "é"])
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_a_name_that_is_none(team: Cli, name: str, flags: list[str]) -> None:
    result = team("submit", name, "-g", "1", *flags)
    assert (result.code, result.out) == (2, "")
    assert "is no name" in result.err


def test_an_unknown_project_lists_those_there_are(team: Cli) -> None:
    result = team("submit", "one", "-g", "1", "-p", "team-x")
    assert result.code == 3
    assert result.err == "error: no project is called 'team-x'\nhint: projects: team-a, team-b\n"


def test_a_name_that_is_taken_is_a_conflict(team: Cli) -> None:
    team.ok("submit", "one", "-g", "0.5")
    result = team("submit", "one", "-g", "1")
    assert result.code == 4
    assert "already has a workload 'one'" in result.err
    assert stored(team, "one").spec.gpu_request.fraction == 0.5


def test_a_dry_run_creates_nothing(team: Cli) -> None:
    result = team.ok("submit", "one", "-g", "0.5", "--dry-run", "-o", "yaml")
    assert result.out.startswith("apiVersion: migctl.dev/v1alpha1\nkind: Workload\n")
    assert team.do(lambda cluster: cluster.list(Workload)).items == ()


def test_a_dry_run_finds_a_name_that_is_taken(team: Cli) -> None:
    team.ok("submit", "one", "-g", "0.5")
    assert team("submit", "one", "-g", "1", "--dry-run").code == 4


def test_that_the_image_is_only_recorded_is_said_once(team: Cli) -> None:
    assert "image is recorded only" in team.ok("submit", "one", "-g", "1", "-i", "ubuntu").err
    assert "image is recorded only" not in team.ok("submit", "two", "-g", "1", "-i", "ubuntu").err


def test_the_next_command_names_the_project_only_where_it_must(team: Cli) -> None:
    assert team.ok("submit", "one", "-g", "1").err == "next: migctl describe one\n"
    assert team.ok("submit", "one", "-g", "1", "-p", "team-b").err == "next: migctl describe one -p team-b\n"


def test_a_full_disk_keeps_the_config_file_and_stops_no_submission(team: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    team.ok("project", "set", "team-a")
    file = team.home / ".config/migctl/config.json"
    before = file.read_text()
    monkeypatch.setattr(os, "fsync", full)
    assert "image is recorded only" in team.ok("submit", "one", "-g", "1", "-i", "ubuntu").err
    result = team("project", "set", "team-b")
    assert (result.code, result.err) == (1, "error: No space left on device\n")
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["-g", "2"], {"devices": 2}),
        (["--gpu-devices-request", "1", "--gpu-portion-request", "0.5"], {"fraction": 0.5}),
        (["--gpu-request-type", "portion", "--gpu-portion-request", "0.5", "-g", "2"], {"fraction": 0.5, "devices": 2}),
        (["--gpu-request-type", "memory", "--gpu-memory-request", "5G"], {"memoryMib": 4769}),
        (["--gpu-request-type", "migProfile", "--mig-profile", "2g.10gb"], {"profile": "2g.10gb"}),
    ],
)
def test_the_noun_first_grammar_makes_the_same_objects(team: Cli, flags: list[str], wanted: dict[str, object]) -> None:
    words = ("one", *flags, "-i", "ubuntu", "-o", "json", "--", "sleep", "5")
    spec = json.loads(team.ok("workspace", "submit", *words).out)["spec"]
    assert spec["gpuRequest"] == wanted
    assert (spec["type"], spec["priority"], spec["preemptible"]) == ("workspace", 100, False)
    assert spec["command"] == ["sleep", "5"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--gpu-portion-request", "1.2"],
        ["--gpu-portion-request", "0.5", "--gpu-memory-request", "5G"],
        ["--gpu-request-type", "memory", "--gpu-portion-request", "0.5"],
        ["--gpu-request-type", "shares"],
        [],
    ],
)
def test_the_noun_first_grammar_refuses_the_same(team: Cli, flags: list[str]) -> None:
    result = team("training", "submit", "one", *flags)
    assert (result.code, result.out) == (2, "")


def test_inference_is_never_preemptible(team: Cli) -> None:
    spec = json.loads(team.ok("inference", "submit", "one", "-g", "1", "--preemptible", "-o", "json").out)["spec"]
    assert (spec["type"], spec["priority"], spec["preemptible"]) == ("inference", 125, False)


def test_labels_are_given_at_the_submission_and_chosen_by_later(team: Cli) -> None:
    team.ok("submit", "one", "-g", "0.5", "--label", "run=1", "--label", "example.com/team=vision")
    team.ok("submit", "two", "-g", "0.5", "--label", "run=2")
    assert team.ok("list", "-l", "run=1", "-o", "name").lines == ["workload/one"]
    assert team.ok("list", "-l", "example.com/team", "-o", "name").lines == ["workload/one"]


@pytest.mark.parametrize("label", ["run", "=1", "a b=1", "run=a b", "-a=1", "A_/b=1", "a=" + "x" * 64])
def test_a_label_that_is_none_is_refused(team: Cli, label: str) -> None:
    result = team("submit", "one", "-g", "0.5", "--label", label)
    assert (result.code, result.out) == (2, "")
    assert "label" in result.err
