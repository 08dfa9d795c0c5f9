"""H4: no error ends a background thread of the agent, and one that fails shows in report, metrics and health."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from nodeagent.nvml import NvmlError
from nodeagent.supervised import STUCK_S, UNHEALTHY_AFTER, Loops, SupervisedLoop
from nodeagent.upkeep.metrics import Metrics
from nodeagent.upkeep.upkeep import Upkeep
from tests.limits import WAIT_S
from tests.nodeagent.machines import Machine


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Broken:
    """A step that raises what it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [OSError(24, "too many open files"), MemoryError(), ValueError(""), KeyError("x")])
def test_a_loop_goes_on_after_any_error_and_says_it_until_it_works_again(error: Exception) -> None:
    step, loops = Broken(), Loops()
    loop = loops.add(SupervisedLoop("work", step, 0.001))
    step.error = error
    with capture_logs() as lines:
        loop.start()
        until(lambda: loop.failures > UNHEALTHY_AFTER)
        assert list(loops.problems()) == ["work"]
        assert not loops.are_healthy()
        assert loops.failures()["work"] >= UNHEALTHY_AFTER
        step.error = None
        until(lambda: not loops.problems())
        assert loops.are_healthy()
        loop.stop()
    assert [line["event"] for line in lines] == ["failed", "works again"], "each error once"


def test_an_error_of_the_driver_is_told_and_is_no_reason_to_start_anew() -> None:
    step, loops = Broken(), Loops()
    step.error = NvmlError("GPU is lost")
    loop = loops.add(SupervisedLoop("work", step, 0.001, expected=(NvmlError,)))
    loop.start()
    until(lambda: loop.failures > 2 * UNHEALTHY_AFTER)
    assert loops.problems() == {"work": "GPU is lost"}
    assert loops.are_healthy()
    loop.stop()


def test_a_step_that_does_not_return_is_unhealthy() -> None:
    now, entered, leave = [0.0], threading.Event(), threading.Event()

    def step() -> None:
        entered.set()
        leave.wait(WAIT_S)

    loop = SupervisedLoop("work", step, 0.0, clock=lambda: now[0])
    loop.start()
    assert entered.wait(WAIT_S)
    assert loop.is_healthy()
    now[0] = STUCK_S + 1
    assert not loop.is_healthy()
    assert "has not returned" in loop.problem()
    leave.set()
    assert loop.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_is_gone_is_unhealthy() -> None:
    def step() -> None:
        raise SystemExit

    loop = SupervisedLoop("work", step, 0.0)
    loop.start()
    until(lambda: not loop.is_healthy())
    assert loop.problem() == "its thread has ended"


def test_a_log_that_cannot_be_written_does_not_end_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("nodeagent.supervised._log.error", full, raising=False)
    step = Broken()
    step.error = ValueError("x")
    loop = SupervisedLoop("work", step, 0.0)
    loop.start()
    until(lambda: step.calls > UNHEALTHY_AFTER)
    loop.stop()


def test_the_checks_of_an_agent_outlive_an_error_that_is_not_nvml_s(machine: Machine) -> None:
    agent = machine.agent()
    looks = agent.gpus.check_health
    step = Broken()
    step.error = OSError(24, "too many open files")

    def check_health() -> None:
        step()
        looks()

    agent.gpus.check_health = check_health  # type: ignore[method-assign]
    metrics = Metrics()
    metrics.attach(agent)
    upkeep = Upkeep(agent, every_s=0.001)
    upkeep.start()
    until(lambda: step.calls > UNHEALTHY_AFTER)
    assert "too many open files" in agent.report().notes["agent's upkeep"]
    assert not agent.loops.are_healthy()
    assert 'migctl_agent_loop_failures_total{loop="upkeep"}' in metrics.text().decode()
    step.error = None
    until(lambda: agent.report().notes == {})
    assert agent.loops.are_healthy()
    upkeep.stop()
