"""One step from the desired MIG mode and the status."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from nodeagent.contract.allocation import Unsupported
from nodeagent.gpu.mig_mode import ModeChange, Outcome
from nodeagent.node_status.dynamic_mig import ModeStatus, is_done, reconcile

DONE, PENDING, REFUSED = (Outcome.DONE, Outcome.PENDING, Outcome.REFUSED)


class Switch:
    """Answers with the outcomes given, one per GPU, or refuses where there are none."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = outcomes
        self.calls: list[bool] = []

    def set_dynamic_mig(self, on: bool, gpus: Collection[str] | None = None) -> tuple[ModeChange, ...]:
        self.calls.append(on)
        if not self._outcomes:
            raise Unsupported("no GPU has MIG")
        return tuple(ModeChange(f"GPU-{i}", i, on, o, f"why {i}") for i, o in enumerate(self._outcomes))


@pytest.mark.parametrize(
    ("desired", "status", "outcomes", "expected"),
    [
        pytest.param(None, None, (), None, id="nothing desired"),
        pytest.param(None, ModeStatus(True, DONE), (), None, id="no longer desired"),
        pytest.param(True, ModeStatus(True, DONE), (), ModeStatus(True, DONE), id="done"),
        pytest.param(True, None, (DONE, DONE), ModeStatus(True, DONE, "GPU 0: why 0; GPU 1: why 1"), id="switched"),
        pytest.param(False, ModeStatus(True, DONE), (DONE,), ModeStatus(False, DONE, "GPU 0: why 0"), id="the other"),
        pytest.param(True, None, (DONE, PENDING), ModeStatus(True, PENDING, "GPU 1: why 1"), id="one waits"),
        pytest.param(True, None, (PENDING, REFUSED), ModeStatus(True, REFUSED, "GPU 1: why 1"), id="one refuses"),
        pytest.param(True, ModeStatus(True, PENDING), (), ModeStatus(True, REFUSED, "no GPU has MIG"), id="no MIG"),
    ],
)
def test_a_step_asks_the_agent_unless_it_is_done(
    desired: bool | None, status: ModeStatus | None, outcomes: tuple[Outcome, ...], expected: ModeStatus | None
) -> None:
    switch = Switch(*outcomes)
    assert reconcile(switch, desired, status) == expected
    assert switch.calls == ([] if desired is None or is_done(desired, status) else [desired])
