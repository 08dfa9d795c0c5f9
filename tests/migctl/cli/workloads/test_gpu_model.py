"""One GPU model asked for, from the command line."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from migctl.objects import GpuRequest
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100, V100


@pytest.fixture
def mixed(team: Cli) -> Cli:
    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, A100), scenes.gpu("node-a", 1, V100)))

    team.do(fill)
    return team


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "one", "-g", "0.5", "--gpu-model", "v100"),
        ("training", "submit", "one", "--gpu-portion-request", "0.5", "--gpu-model", "v100"),
        ("workspace", "submit", "one", "--gpu-portion-request", "0.5", "--gpu-model", "v100"),
    ],
    ids=" ".join,
)
def test_it_is_said_when_it_is_submitted_and_described(mixed: Cli, words: tuple[str, ...]) -> None:
    assert mixed.ok(*words).out.endswith("one to project team-a: 0.50 GPU of model v100\n")
    assert "Requested:   0.50 GPU of model v100\n" in mixed.ok("describe", "one").out


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("h200", "there are A100-40GB, V100\nhint: migctl gpus shows what there is"),
        ("a100", "hint: did you mean A100-40GB?"),
        ("", "--gpu-model is empty"),
    ],
)
def test_a_model_that_is_not_there_is_refused(mixed: Cli, model: str, said: str) -> None:
    result = mixed("submit", "one", "-g", "0.5", "--gpu-model", model)
    assert (result.code, said in result.err) == (2, True), result
    assert result.err.startswith("error: --gpu-model")
    assert mixed.ok("list", "-o", "name").out == ""


def test_a_model_alone_asks_for_no_gpu(mixed: Cli) -> None:
    assert mixed("submit", "one", "--gpu-model", "v100").code == 2


@pytest.mark.parametrize(
    "request_", [GpuRequest(), GpuRequest(fraction=0.5), GpuRequest(memory_mib=5000), GpuRequest(profile="2g.10gb")]
)
def test_every_kind_of_request_demands_its_model(request_: GpuRequest) -> None:
    """A change elsewhere had it forgotten on the way to the planner."""
    asked = replace(request_, model="V100")
    assert asked.to_demand().model == "V100"
    both = GpuRequest(devices=2, containers=(replace(asked, container="a"), replace(asked, container="b")))
    assert both.to_demand().model == "V100"
