"""Every case on the pure solver and under a virtual clock."""

from __future__ import annotations

import pytest

from tests.scenarios.cases import CASES, TIMED
from tests.scenarios.language import parse
from tests.scenarios.play import play
from tests.scenarios.virtual import VirtualWorld


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in {**CASES, **TIMED}.items()])
@pytest.mark.parametrize("grace_s", [0.0, 3.0], ids=["solver", "virtual clock"])
def test_case(text: str, grace_s: float) -> None:
    scenario = parse(text)
    play(scenario, VirtualWorld.of(scenario, grace_s))


def test_what_is_not_understood_is_said() -> None:
    with pytest.raises(ValueError, match="not understood: expect a1 Sleeping"):
        parse("1 nodes x 1 v100; expect a1 Sleeping")
