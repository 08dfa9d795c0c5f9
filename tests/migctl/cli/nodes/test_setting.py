"""`node set`: what is wished of a node, and what comes of it."""

from __future__ import annotations

import pytest

from migctl.cli.nodes import mig_mode
from migctl.objects import GpuNode, NodeSpec
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli
from tests.migctl.cli.scenes import A100


@pytest.mark.parametrize("gpu", [pytest.param((), id="node"), pytest.param(("--gpu", "0"), id="gpu")])
@pytest.mark.parametrize(
    ("ready", "code", "said"),
    [
        pytest.param(False, 4, "error: node node-a is not ready", id="not ready"),
        pytest.param(True, 124, "error: node node-a has not answered in 0.2 s", id="no answer"),
    ],
)
def test_a_mode_that_no_agent_sets_is_not_left_as_a_wish(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, ready: bool, code: int, said: str, gpu: tuple[str, ...]
) -> None:
    monkeypatch.setattr(mig_mode, "SWITCH_S", 0.2)
    cli.do(lambda cluster: cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, A100), ready=ready)))
    result = cli("node", "set", *gpu, "--dynamic-mig", "off")
    assert (result.code, result.out, result.err.splitlines()[0]) == (code, "", said)
    assert cli.do(lambda cluster: cluster.get(GpuNode, "node-a")).spec == NodeSpec()


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        pytest.param(
            ("--gpu", "7", "--dynamic-mig", "on"), "node node-a has no GPU '7'", "its GPUs: 0, 1", id="no such"
        ),
        pytest.param(
            ("--gpu", "node-b/0", "--dynamic-mig", "on"), "has no GPU 'node-b/0'", "0, 1", id="another node's"
        ),
        pytest.param(("--gpu", "0"), "--gpu is for --dynamic-mig", "--gpu 0 --dynamic-mig on", id="no mode"),
        pytest.param(("--gpu", "0", "--dynamic-mig", "up"), "up is neither on nor off nor inherit", "on", id="no word"),
        pytest.param(("--dynamic-mig", "inherit"), "say which one", "--gpu 0 --dynamic-mig inherit", id="no GPU"),
    ],
)
def test_a_gpu_that_cannot_be_meant_is_told(cli: Cli, words: tuple[str, ...], said: str, hint: str) -> None:
    first, second = scenes.gpu("node-a", 0, A100), scenes.gpu("node-a", 1, A100)
    cli.do(lambda cluster: cluster.create(scenes.node("node-a", first, second)))
    result = cli("node", "set", "node-a", *words)
    error, told = result.err.splitlines()
    assert (result.code, said in error, hint in told) == (2, True, True), result
    assert cli.do(lambda cluster: cluster.get(GpuNode, "node-a")).spec == NodeSpec()


@pytest.mark.parametrize(
    ("ready", "gpu", "code"), [(True, ("--gpu", "9"), 2), (False, (), 4)], ids=["no such GPU", "not ready"]
)
def test_nothing_is_set_where_a_part_of_what_is_asked_cannot_be(
    cli: Cli, ready: bool, gpu: tuple[str, ...], code: int
) -> None:
    cli.do(lambda cluster: cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, A100), ready=ready)))
    result = cli("node", "set", "--label", "gpu=a100", *gpu, "--dynamic-mig", "on")
    assert (result.code, result.out) == (code, "")
    assert cli.do(lambda cluster: cluster.get(GpuNode, "node-a")).meta.labels == {}
