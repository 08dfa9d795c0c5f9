"""A driver call that never comes back, at every point of a day: its GPU is fenced, the others are served.

`make test` lets each kind of call hang once, and one in each step; `make soak` every single call of every step.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent.agent import Agent
from nodeagent.contract.allocation import AgentError, Busy
from nodeagent.gpu.deadlines import Deadlines
from nodeagent.simulated_nvml.faults import VARIABLE, Fault
from nodeagent.start import open_agent
from tests.depth import THOROUGH
from tests.limits import WAIT_S
from tests.nodeagent.faults.fault_points import Day, HangsOnly, Injector, Point, PointFaults, check
from tests.nodeagent.faults.test_fault_points import changes, day, located, points, tmp_path
from tests.nodeagent.machines import NODE, Machine, allocation, mig, part

__all__ = ["day", "points", "tmp_path"]

LIBRARY = ("nvmlInitWithFlags", "nvmlShutdown")
"""Before and after an agent serves anything: a hang there is as good as a kill."""
BEFORE_GPUS = ("nvmlSystemGetDriverVersion", "nvmlDeviceGetCount_v2")
"""Without an answer to these at the start no GPU is known, and the agent says so."""
OF_NO_GPU = (*BEFORE_GPUS, "nvmlDeviceGetP2PStatus")


def test_a_hang_at_every_driver_call_stops_no_other_gpu(day: Day, points: list[Point], tmp_path: Path) -> None:
    for point in hangs(points):
        directory = day.copy(tmp_path / "day")
        with located(point, "hang"):
            Hang(day, directory, point).live()
            check(day, directory, [])


def hangs(points: list[Point]) -> list[Point]:
    """All calls of all steps, or the last of each kind and one of each step, a change where there is one."""
    calls = [p for p in points if p.name.startswith("nvml") and p.name not in LIBRARY]
    if THOROUGH:
        return calls
    of_steps = {p.step: p for p in (*calls, *filter(changes, calls))}
    return list(dict.fromkeys((*{p.name: p for p in calls}.values(), *of_steps.values())))


def started(act: Callable[[], object]) -> threading.Thread:
    """Somebody who calls the agent and may have to wait for the driver."""

    def called() -> None:
        try:
            act()
        except AgentError:
            return

    thread = threading.Thread(target=called, daemon=True)
    thread.start()
    return thread


def done(act: Callable[[], object]) -> None:
    """`act` is not kept waiting by a call that hangs elsewhere."""
    thread = started(act)
    thread.join(WAIT_S)
    assert not thread.is_alive(), "it waits for the GPU that hangs"


class Hang:
    """One day until `point` hangs, a look around meanwhile, and the rest when the driver goes on."""

    def __init__(self, day: Day, directory: Path, point: Point) -> None:
        self.day, self.directory, self.point = day, directory, point
        self.injector = Injector(directory / "agent", at=point, action=Fault("*", hang=True))
        self.faults: PointFaults = self.injector.faults()
        self.now = 0.0
        self.agent: Agent | None = None

    def live(self) -> None:
        caller = started(self._until_it_hangs)
        assert self.faults.hanging.wait(WAIT_S), "the point was not met"
        if self.point.step == "start":
            caller.join(WAIT_S)
            assert not caller.is_alive(), "the agent does not start without this GPU"
        if self.agent is not None:
            self.injector.step = "meanwhile"
            self._look_around(self.agent)
        else:
            assert self.point.name in BEFORE_GPUS
        self.faults.released.set()
        for thread in (caller, self.faults.hung):
            assert thread is not None
            thread.join(WAIT_S)
            assert not thread.is_alive()
        if self.agent is not None:
            self.agent.report()
            self.agent.close()

    def _until_it_hangs(self) -> None:
        deadlines = HangsOnly(change_s=0.02, try_s=0.02, faults=self.faults)
        self.injector.step = "start"
        self.agent = self.day.start(self.directory, self.faults, deadlines=deadlines, clock=lambda: self.now)
        for name, step in self.day.steps():
            if self.point.step == "start":
                return
            self.injector.step = name
            step(self.agent)
            if name == self.point.step:
                return

    def _look_around(self, agent: Agent) -> None:
        """Long after the deadline: at most one GPU is fenced, all others answer, and one of them takes a new claim."""
        self.now += 1000
        done(agent.report)
        report = agent.report()
        fenced = {gpu.uuid for gpu in report.gpus if gpu.fenced}
        silent = {gpu.uuid for gpu in report.gpus if "has not answered" in gpu.fenced}
        assert fenced == silent
        missing = [note for gpu, note in report.notes.items() if gpu.startswith("GPU ")]
        assert len(silent) + len(missing) == (self.point.name not in OF_NO_GPU and self.point.step != "errors")
        assert set(agent.gpus.readings()) == {gpu.uuid for gpu in report.gpus} - silent
        done(agent.gpus.recover)
        done(lambda: agent.gpus.set_dynamic_mig(True))
        first, second, v100, _ = self.day.gpus
        shares = (part(v100, 100), mig(first, "1g.5gb", 4), mig(second, "1g.5gb", 2))
        new = [allocation(f"new{n}", s) for n, s in enumerate(shares) if s.gpu not in silent]
        for one in new:
            done(functools.partial(agent.prepare, one))
        taken = [one.claim for one in new if one.claim in agent.held()]
        assert taken
        for claim in taken:
            agent.unprepare(claim)


def test_a_driver_that_does_not_even_open_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path)
    monkeypatch.setenv(VARIABLE, "nvmlInitWithFlags=hang")
    with pytest.raises(Busy, match="not answered"):
        open_agent(NODE, machine.agent_dir, simulated=machine.state_path, deadlines=Deadlines(change_s=0.05))
