"""What the shell completes: commands, options, and names asked of the control plane."""

from __future__ import annotations

import pytest

from migctl.backends.protocol import Unavailable
from migctl.objects import Department, GpuRequest, Meta, PlacementPlan
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100


@pytest.fixture
def busy(team: Cli) -> Cli:
    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, A100)))
        await cluster.create(Department(meta=Meta(name="research")))
        await cluster.create(PlacementPlan(meta=Meta(name="plan-1a")))
        await scenes.workload(cluster, "frac05", GpuRequest(fraction=0.5))
        await scenes.workload(cluster, "frac03", GpuRequest(fraction=0.3))
        await scenes.workload(cluster, "other", GpuRequest(), project="team-b")

    team.do(fill)
    return team


def completed(cli: Cli, monkeypatch: pytest.MonkeyPatch, line: str) -> set[str]:
    monkeypatch.setenv("_MIGCTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    with pytest.raises(SystemExit) as ended:
        cli()
    assert ended.value.code == 0
    return set(cli.capture.readouterr().out.split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("migctl su", {"submit", "suspend"}),
        ("migctl project s", {"set"}),
        ("migctl submit --gpu-m", {"--gpu-memory", "--gpu-model"}),
        ("migctl describe f", {"frac05", "frac03"}),
        ("migctl delete frac05 ", {"frac05", "frac03"}),
        ("migctl logs -p team-b ", {"other"}),
        ("migctl -p team-b bash ", {"other"}),
        ("migctl training suspend frac0", {"frac05", "frac03"}),
        ("migctl list -p ", {"team-a", "team-b"}),
        ("migctl project describe team-", {"team-a", "team-b"}),
        ("migctl project update team-a --department ", {"research"}),
        ("migctl department delete r", {"research"}),
        ("migctl node set n", {"node-a"}),
        ("migctl gpus node", {"node-a", "node-a/0"}),
        ("migctl plan show p", {"plan-1a"}),
        ("migctl submit --mig-profile 3", {"3g.20gb"}),
        ("migctl submit --gpu-model ", {"A100-40GB"}),
        ("migctl describe nothing-like-it", set()),
    ],
)
def test_completion(busy: Cli, monkeypatch: pytest.MonkeyPatch, line: str, words: set[str]) -> None:
    assert completed(busy, monkeypatch, line) == words


def test_where_nothing_answers_nothing_is_completed(busy: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    busy.failing = Unavailable("away")
    assert completed(busy, monkeypatch, "migctl describe f") == set()
    assert busy.capture.readouterr().err == ""
