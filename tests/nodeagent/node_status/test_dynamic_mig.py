"""One step from the desired MIG mode and the status."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from nodeagent.contract.allocation import Unsupported
from nodeagent.gpu.mig_mode import ModeChange, Outcome
from nodeagent.node_status.dynamic_mig import DesiredModes, ModeStatus, ModeStatuses, is_done, reconcile

DONE, PENDING, REFUSED = (Outcome.DONE, Outcome.PENDING, Outcome.REFUSED)


class Switch:
    """Answers with the outcomes given, one per GPU, or refuses where there are none."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = outcomes
        self.calls: list[bool] = []

    def with_mig(self) -> tuple[str, ...]:
        return tuple(f"GPU-{i}" for i in range(len(self._outcomes)))

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
    before = (DesiredModes(desired), ModeStatuses(status))
    assert reconcile(switch, *before) == ModeStatuses(expected)
    assert switch.calls == ([] if desired is None or is_done(*before) else [desired])


class Gpus:
    """Has two GPUs with MIG; refuses those that are busy."""

    def __init__(self, *busy: str) -> None:
        self._busy = busy
        self.calls: list[tuple[bool, tuple[str, ...]]] = []

    def with_mig(self) -> tuple[str, ...]:
        return ("A", "B")

    def set_dynamic_mig(self, on: bool, gpus: Collection[str] | None = None) -> tuple[ModeChange, ...]:
        named = tuple(self.with_mig() if gpus is None else gpus)
        self.calls.append((on, named))
        refused = [ModeChange(gpu, 0, on, REFUSED, "busy") for gpu in named if gpu in self._busy]
        return tuple(refused or [ModeChange(gpu, 0, on, DONE) for gpu in named])


ON, OFF, BUSY = ModeStatus(True, DONE), ModeStatus(False, DONE), ModeStatus(False, REFUSED, "GPU 0: busy")
ALL_OWN = ModeStatus(True, DONE, "no GPU follows it: each that has MIG has a mode of its own")


@pytest.mark.parametrize(
    ("desired", "status", "busy", "expected", "calls"),
    [
        pytest.param(
            DesiredModes(True, {"A": False}), ModeStatuses(), (), ModeStatuses(ON, {"A": OFF}),
            [(False, ("A",)), (True, ("B",))], id="the node's is for the others",
        ),
        pytest.param(
            DesiredModes(True, {"A": False}), ModeStatuses(ON), (), ModeStatuses(ON, {"A": OFF}),
            [(False, ("A",))], id="a new one leaves the others",
        ),
        pytest.param(
            DesiredModes(None, {"A": False, "B": True}), ModeStatuses(), ("A",),
            ModeStatuses(None, {"A": BUSY, "B": ON}), [(False, ("A",)), (True, ("B",))],
            id="one in use keeps no other from it",
        ),
        pytest.param(
            DesiredModes(None, {"A": False, "B": True}), ModeStatuses(None, {"A": BUSY, "B": ON}), (),
            ModeStatuses(None, {"A": OFF, "B": ON}), [(False, ("A",))], id="only what is not done is tried again",
        ),
        pytest.param(
            DesiredModes(True), ModeStatuses(ON, {"A": OFF}), (), ModeStatuses(ON), [(True, ("A", "B"))],
            id="it follows the node again",
        ),
        pytest.param(DesiredModes(), ModeStatuses(None, {"A": OFF}), (), ModeStatuses(), [], id="which sets no mode"),
        pytest.param(
            DesiredModes(True, {"A": False, "B": False}), ModeStatuses(None, {"A": OFF, "B": OFF}), (),
            ModeStatuses(ALL_OWN, {"A": OFF, "B": OFF}), [], id="nobody follows the node",
        ),
    ],
)  # fmt: skip
def test_a_gpu_with_a_mode_of_its_own_follows_that(
    desired: DesiredModes,
    status: ModeStatuses,
    busy: tuple[str, ...],
    expected: ModeStatuses,
    calls: list[tuple[bool, tuple[str, ...]]],
) -> None:
    gpus = Gpus(*busy)
    assert reconcile(gpus, desired, status) == expected
    assert gpus.calls == calls
