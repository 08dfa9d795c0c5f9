"""The checks go on while the driver fails: an error is shown, and nobody has to start anything again."""

from __future__ import annotations

import os
import threading

import pytest

from nodeagent.contract.allocation import NodeReport
from nodeagent.nvml import Nvml, NvmlError, XidError
from nodeagent.simulated_nvml import hardware
from nodeagent.simulated_nvml.faults import Fault, Faults, parse
from nodeagent.upkeep.error_watch import ErrorWatch
from nodeagent.upkeep.upkeep import Upkeep
from tests.limits import WAIT_S
from tests.nodeagent.machines import Machine, allocation, mig, part

LOST, UNKNOWN = 15, 999


class NextCalls(Faults):
    """Counts calls from `begin` on; the `nth` of them fails, every one where it is None."""

    def __init__(self) -> None:
        super().__init__()
        self.begin(0)

    def begin(self, nth: int | None, error: int = UNKNOWN) -> None:
        self.calls, self._nth, self._error = 0, nth, error

    def meet(self, call: str) -> Fault | None:
        self.calls += 1
        return Fault(call, error=self._error) if self._nth in (None, self.calls) else None


@pytest.mark.parametrize("error", [LOST, UNKNOWN])
def test_an_error_at_any_driver_call_of_a_check_does_not_end_the_checks(machine: Machine, error: int) -> None:
    faults = NextCalls()
    agent = machine.agent(faults)
    agent.prepare(allocation("c1", mig(machine.gpu(0), "1g.5gb", 0)))
    agent.prepare(allocation("c2", part(machine.gpu(1), 8080)))
    machine.occupy(machine.gpu(1), 9000, os.getpid(), "c2")
    upkeep = Upkeep(agent)
    faults.begin(0)
    upkeep.step()
    for nth in range(1, faults.calls + 1):
        faults.begin(nth, error)
        upkeep.step()
        assert agent.held() == ("c1", "c2")
    faults.begin(0)
    for _ in range(2):
        upkeep.step()
    report = agent.report()
    assert [gpu.fenced for gpu in report.gpus] == ["", ""]
    assert "uses 9000 MiB" in report.notes["c2"]


def test_gpus_that_do_not_answer_are_shown_so_and_read_again(machine: Machine) -> None:
    faults = NextCalls()
    agent = machine.agent(faults)
    seen: list[NodeReport] = []
    several = threading.Event()

    def see(report: NodeReport) -> None:
        seen.append(report)
        faults.begin(None if len(seen) == 1 else 0)
        if len(seen) == 3:
            several.set()

    upkeep = Upkeep(agent, every_s=0.001, seen=see)
    upkeep.start()
    assert several.wait(WAIT_S)
    upkeep.stop()
    assert [any(gpu.fenced for gpu in report.gpus) for report in seen[:3]] == [False, True, False]
    made = len(seen)
    upkeep.stop()
    assert len(seen) == made


@pytest.mark.parametrize("call", ["nvmlEventSetCreate", "nvmlEventSetWait*", "nvmlDeviceRegisterEvents"])
def test_after_an_error_of_the_watch_the_next_one_hears_of_xids(machine: Machine, call: str) -> None:
    heard: list[tuple[str, int]] = []
    nvml = Nvml(machine.library(Faults(parse(f"{call}=GPU_IS_LOST"))))
    watch = ErrorWatch(nvml, [machine.gpu(0), machine.gpu(1)], lambda gpu, xid: heard.append((gpu, xid)))
    with pytest.raises(NvmlError):
        watch.wait(0)
    hardware.fail(machine.state, machine.gpu(1), xid=79)
    watch.wait(WAIT_S)
    assert heard == [(machine.gpu(1), 79)]
    watch.end()


def test_a_watch_that_cannot_be_closed_is_given_up(machine: Machine) -> None:
    heard: list[int] = []
    faults = Faults(parse("nvmlEventSetWait*=UNKNOWN;nvmlEventSetFree=UNKNOWN"))
    watch = ErrorWatch(Nvml(machine.library(faults)), [machine.gpu(0)], lambda gpu, xid: heard.append(xid))
    with pytest.raises(NvmlError, match="next error"):
        watch.wait(0)
    hardware.fail(machine.state, machine.gpu(0), xid=31)
    watch.wait(WAIT_S)
    assert heard == [31]


def test_the_thread_that_hears_of_xids_outlives_an_error(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeagent.upkeep.error_watch._RETRY_S", 0.0)
    heard = threading.Event()
    faults = Faults(parse("nvmlEventSetCreate#1=UNKNOWN;nvmlEventSetWait*#1=GPU_IS_LOST"))
    watch = ErrorWatch(Nvml(machine.library(faults)), [machine.gpu(0)], lambda gpu, xid: heard.set())
    watch.start()
    hardware.fail(machine.state, machine.gpu(0), xid=79)
    assert heard.wait(WAIT_S)
    watch.stop()


def test_a_stop_waits_a_moment_only_for_errors_that_do_not_come(machine: Machine) -> None:
    """`migctl down` waits for the thread, and the thread for the driver."""
    asked, waiting = list[float](), threading.Event()
    nvml = Nvml(machine.library())
    next_error = nvml.next_error

    def noted(watch: object, seconds: float) -> XidError | None:
        asked.append(seconds)
        waiting.set()
        return next_error(watch, seconds)

    nvml.next_error = noted  # type: ignore[method-assign]
    watch = ErrorWatch(nvml, [machine.gpu(0)], lambda gpu, xid: None)
    watch.start()
    assert waiting.wait(WAIT_S)
    watch.stop()
    assert max(asked) <= 0.25


def test_what_was_never_started_is_stopped_at_once(machine: Machine) -> None:
    agent = machine.agent()
    Upkeep(agent).stop()
    assert agent.report().notes == {}
