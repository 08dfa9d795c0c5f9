"""Names as they are typed: with their kind, of another kind, empty."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from migctl.cli.grammar.lazy_groups import WORDS
from migctl.cli.main import app
from migctl.objects import GpuRequest, Workload, WorkloadType
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import V100


@pytest.fixture
def busy(team: Cli) -> Cli:
    """A training and a workspace that wait, and a node."""

    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, V100)))
        await scenes.workload(cluster, "keep", GpuRequest(fraction=0.5))
        await scenes.workload(cluster, "desk", GpuRequest(fraction=0.5), type=WorkloadType.WORKSPACE)

    team.do(fill)
    return team


def names(cli: Cli) -> set[str]:
    return {workload.meta.name for workload in cli.do(lambda cluster: cluster.list(Workload)).items}


@pytest.mark.parametrize(
    "words",
    [
        "delete node/keep", "delete a/keep", "delete project/keep", "delete /keep", "delete workload/",
        "delete a/b/keep",
        "delete keep node/desk", "delete training workspace/keep", "suspend node/keep", "describe team-b/keep",
        "why node/keep", "logs node/keep", "wait node/keep", "exec node/keep ls", "bash node/keep",
        "list -p node/team-a",
        "project describe node/team-a", "project delete a/team-a", "project set a/team-a", "department describe a/b",
        "node set a/node-a --dynamic-mig on", "plan show a/plan-1", "events --for project/keep",
    ],
)  # fmt: skip
def test_a_name_with_another_kind_before_it_is_refused_and_nothing_is_done(busy: Cli, words: str) -> None:
    result = busy(*words.split())
    assert (result.code, result.out) == (2, "")
    assert "names no " in result.err or "two types" in result.err
    assert names(busy) == {"keep", "desk"}


@pytest.mark.parametrize(
    "words", ["workload/keep", "job/keep", "training/keep", "job keep", "training keep", "trainings keep", "jobs keep"]
)
def test_a_name_with_its_own_kind_is_that_name(busy: Cli, words: str) -> None:
    assert busy.ok("delete", *words.split()).out == "workload keep deleted\n"
    assert names(busy) == {"desk"}


@pytest.mark.parametrize("words", ["workspace/keep", "workspace keep", "inference/keep", "desk training/desk"])
def test_a_name_with_the_kind_of_another_type_is_not_found(busy: Cli, words: str) -> None:
    assert busy("delete", *words.split()).code == 3
    assert names(busy) == {"keep", "desk"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its words, as `migctl WORDS` finds it."""

    def below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "commands"):
            for name in command.commands:
                yield from below(f"{words} {name}".strip(), command.commands[name])
        else:
            yield words, command

    return below("", typer.main.get_command(app))


EMPTY = [
    (words, parameter.opts[0] if parameter.param_type_name == "option" else "")
    for words, command in commands()
    for parameter in command.params
    if not getattr(parameter, "is_flag", False) and parameter.name != "help"
]


@pytest.mark.parametrize(("words", "option"), EMPTY, ids=str)
def test_an_empty_word_is_refused_by_every_command(cli: Cli, words: str, option: str) -> None:
    result = cli(*words.split(), *([option, ""] if option else [""]))
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err
    asyncio.run(asyncio.sleep(0))
    assert " is empty" in result.err or "not a valid" in result.err or "is not one of" in result.err, result.err


@pytest.mark.parametrize("option", ["-p", "-o", "--context", "--kubeconfig"])
def test_an_empty_word_is_refused_before_the_command(cli: Cli, option: str) -> None:
    result = cli(option, "", "list")
    assert (result.code, result.out) == (2, "")
    assert " is empty" in result.err


def test_a_programs_own_words_may_be_empty(busy: Cli) -> None:
    assert WORDS == "words"
    assert busy("exec", "keep", "sh", "-c", "").code != 2
    assert busy("exec", "keep", "--", "sh", "-c", "").code != 2
