"""`node set`: what is wished of a node, and what comes of it."""

from __future__ import annotations

import pytest

from migctl.cli.nodes import setting
from migctl.objects import GpuNode
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli
from tests.migctl.cli.scenes import A100


@pytest.mark.parametrize(
    ("ready", "code", "said"),
    [
        pytest.param(False, 4, "error: node node-a is not ready", id="not ready"),
        pytest.param(True, 124, "error: node node-a has not answered in 0.2 s", id="no answer"),
    ],
)
def test_a_mode_that_no_agent_sets_is_not_left_as_a_wish(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, ready: bool, code: int, said: str
) -> None:
    monkeypatch.setattr(setting, "SWITCH_S", 0.2)
    cli.do(lambda cluster: cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, A100), ready=ready)))
    result = cli("node", "set", "--dynamic-mig", "off")
    assert (result.code, result.out, result.err.splitlines()[0]) == (code, "", said)
    assert cli.do(lambda cluster: cluster.get(GpuNode, "node-a")).spec.dynamic_mig is None
