"""Exit codes and words of refusals: usage is 2, not found 3, conflict 4, whatever the command; flags, not fields."""

from __future__ import annotations

import pytest

from migctl.objects import GpuRequest, Phase
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.grammar.test_names import commands
from tests.migctl.cli.scenes import A100


@pytest.fixture
def busy(team: Cli) -> Cli:
    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, A100)))
        await scenes.workload(cluster, "done", GpuRequest(fraction=0.5), phase=Phase.COMPLETED)

    team.do(fill)
    return team


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_an_option_that_there_is_not_is_misuse_of_every_command(cli: Cli, words: str) -> None:
    result = cli(*words.split(), "--no-such-option")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: no such option")
    assert f"hint: migctl {words} --help" in result.err


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, "submit -g 999999999999", "999999999999 GPUs are more than there can be"),
        (2, "submit --mig-profile 9g.99gb", "--mig-profile: no GPU of this cluster has a MIG profile '9g.99gb'"),
        (2, "training submit --gpu-portion-request 0.00001", "--gpu-portion-request: 1e-05 of the largest GPU"),
        (2, "training submit -g 0.5", "hint: --gpu-portion-request 0.5 asks for a part of each GPU"),
        (2, "training submit", "hint: --gpu-portion-request 0.5, --gpu-devices-request 1, --gpu-memory-request 5G"),
        (2, "training submit --gpu-portion-request 0.5 --gpu-memory-request 5G", "--gpu-portion-request and --gpu-mem"),
        (2, "submit", "hint: -g 0.5, -g 1, --gpu-memory 5G or --mig-profile 2g.10gb"),
        (2, "submit -g 0.5 -e A-B=1", "-e: 'A-B' is no variable"),
        (2, "submit -g 0.5 --parallelism 99999999", "--parallelism: 99999999: must be between"),
        (2, "submit Up -g 0.5", "the name: 'Up' is no name"),
        (2, "project create q --quota 99999999", "--quota 99999999 is no number of GPUs that a queue can have"),
        (2, "project create q --quota 2 --limit 1", "--limit: 1 GPUs: must not be below the quota of 2"),
        (2, "plan what-if --add 10GB=3", "hint: several of them: --add '10GB x3'"),
        (2, "node set --dynamic-mig maybe", "--dynamic-mig maybe is neither on nor off"),
        (2, "down --timeout abc", "'abc' is not a duration"),
        (2, "wait done --timeout abc", "'abc' is not a duration"),
        (2, "wait done --timeout 99999999999d", "is too long"),
        (3, "describe nobody", "no workload 'nobody'"),
        (3, "project describe nobody", "no project is called 'nobody'"),
        (3, "department describe nobody", "no department is called 'nobody'"),
        (3, "node set nobody --dynamic-mig on", "no node is called 'nobody'"),
        (3, "plan show nobody", "no plan is called 'nobody'"),
        (3, "submit -g 0.5 --node-pools nobody", "no node pool is called 'nobody'"),
        (4, "project create team-a", "there is a project 'team-a' already"),
        (4, "submit done -g 0.5", "already has a workload 'done'"),
        (4, "suspend done", "it cannot be suspended"),
        (4, "project delete team-a", "still has 1 workload(s)"),
    ],
)
def test_a_refusal_has_its_code_and_names_what_was_typed(busy: Cli, code: int, words: str, said: str) -> None:
    result = busy(*words.split())
    assert (result.code, result.out) == (code, ""), result
    assert said in result.err
    assert "spec." not in result.err


def test_a_list_of_a_type_that_nobody_has_says_where_the_others_are(busy: Cli) -> None:
    assert busy.ok("workspace", "list").err == "no workspaces in project team-a; migctl list shows all types\n"


def test_a_profile_that_resembles_none_is_not_guessed_at(busy: Cli) -> None:
    assert "hint: migctl gpus shows what there is" in busy("submit", "--mig-profile", "9g.99gb").err
    assert "hint: did you mean 2g.10gb?" in busy("submit", "--mig-profile", "2g.10g").err
