"""Random lives of one node: whatever happens in whatever order, nothing overlaps, leaks or gets lost.

The agent is stopped dead at random driver calls and file writes and started again. The checks
read the hardware's own state, not the agent's.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nodeagent.agent import Agent
from nodeagent.contract.allocation import AgentError
from nodeagent.simulated_nvml.faults import Faults
from nodeagent.simulated_nvml.hardware import Refused, SimulatedHardware
from nodeagent.simulated_nvml.state import reboot
from solver.model.catalog import models
from solver.model.cluster import InstanceState
from solver.model.geometry import Placement, legal
from tests.nodeagent.machines import Machine, allocation, mig

MODEL = models()["A100-40GB"]
PLACES = [Placement(p.name, s) for p in MODEL.profiles for s in p.starts]
CLAIMS = ["a", "b", "c", "d", "e"]


class StoppedDead(BaseException):
    """The agent's process ended here."""


class Countdown:
    """Stops the agent dead at the nth driver call or file operation from now on."""

    def __init__(self) -> None:
        self.left: int | None = None

    def tick(self, name: str = "") -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise StoppedDead(name)


class Life(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.directory = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.machine = Machine(Path(self.directory.name))
        self.gpu = self.machine.gpu()
        self.countdown = Countdown()
        self.prepared: dict[str, str] = {}
        self.foreign: set[str] = set()
        self.running: set[str] = set()
        self.agent: Agent | None = None
        self.begin()

    def begin(self) -> None:
        self.agent = self.machine.agent(Faults(observe=self.countdown.tick))
        self.prepared = {c: u for c, u in self.prepared.items() if c in self.agent.report().held}

    def run(self, what: str, claim: str, place: Placement | None, stop_after: int | None) -> None:
        """One call that may be refused, or cut short with the agent's life."""
        assert self.agent is not None
        self.countdown.left = stop_after
        operations = {name: getattr(os, name) for name in ("write", "fsync", "fdatasync", "replace", "unlink")}
        patched = [mock.patch.object(os, n, self._counting(f)) for n, f in operations.items()]
        for patch in patched:
            patch.start()
        try:
            if place is not None:
                share = mig(self.gpu, place.profile, place.start)
                self.prepared[claim] = self.agent.prepare(allocation(claim, share)).devices[0].uuid
            elif what == "recover":
                self.agent.gpus.recover()
            else:
                self.agent.unprepare(claim)
                self.prepared.pop(claim, None)
        except AgentError:
            pass
        except StoppedDead:
            if place is None and what != "recover":
                self.prepared.pop(claim, None)  # it may or may not have been released
            self.countdown.left = None
            self.agent.close()
            self.agent = None
        finally:
            self.countdown.left = None
            for patch in patched:
                patch.stop()
        if self.agent is None:
            self.begin()

    def _counting(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.countdown.tick(operation.__name__)
            return operation(*arguments, **named)

        return counted

    @rule(claim=st.sampled_from(CLAIMS), place=st.sampled_from(PLACES), stop_after=st.none() | st.integers(0, 60))
    def prepare(self, claim: str, place: Placement, stop_after: int | None) -> None:
        self.run("prepare", claim, place, stop_after)

    @rule(claim=st.sampled_from(CLAIMS), stop_after=st.none() | st.integers(0, 12))
    def unprepare(self, claim: str, stop_after: int | None) -> None:
        self.run("unprepare", claim, None, stop_after)

    @rule(stop_after=st.none() | st.integers(0, 40))
    def recover(self, stop_after: int | None) -> None:
        self.run("recover", "", None, stop_after)

    @rule(place=st.sampled_from(PLACES))
    def somebody_else_creates(self, place: Placement) -> None:
        profile = MODEL.profile(place.profile)
        assert profile is not None
        hardware = SimulatedHardware(self.machine.state)
        try:
            gi = hardware.create_gpu_instance(self.gpu, profile.board_id or 0, place.start)
        except Refused:
            return
        hardware.create_compute_instance(self.gpu, gi, profile.slices)
        self.foreign.add(hardware.instance(self.gpu, gi)["compute"][0]["uuid"])

    @precondition(lambda self: self.foreign)
    @rule(data=st.data())
    def somebody_else_destroys(self, data: st.DataObject) -> None:
        uuid = data.draw(st.sampled_from(sorted(self.foreign)))
        hardware = SimulatedHardware(self.machine.state)
        gi = next(i["gi"] for i in self._instances() if i["compute"][0]["uuid"] == uuid)
        hardware.destroy_compute_instance(self.gpu, gi, 0)
        hardware.destroy_gpu_instance(self.gpu, gi)
        self.foreign.remove(uuid)

    @precondition(lambda self: self.prepared)
    @rule(data=st.data())
    def a_program_starts(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(sorted(self.prepared)))
        self.machine.occupy(self.prepared[claim], 100, os.getpid(), claim)
        self.running.add(self.prepared[claim])

    @rule()
    def all_programs_end(self) -> None:
        self.machine.vacate()
        self.running.clear()

    @rule()
    def reboot(self) -> None:
        assert self.agent is not None
        self.agent.close()
        with self.machine.state.change() as state:
            reboot(state, state["host_boot_id"])
        self.foreign.clear()
        self.running.clear()
        self.begin()

    def _instances(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.machine.gpus()[0]["instances"]
        return found

    @invariant()
    def hardware_is_sound(self) -> None:
        assert legal(MODEL, [Placement(i["profile"], i["start"]) for i in self._instances()])
        assert all(len(i["compute"]) == 1 for i in self._instances()), "a half-made instance was left behind"

    @invariant()
    def nothing_is_lost_and_nothing_given_twice(self) -> None:
        present = {i["compute"][0]["uuid"] for i in self._instances()}
        assert set(self.prepared.values()) <= present
        assert len(set(self.prepared.values())) == len(self.prepared)
        assert self.foreign <= present
        assert self.running <= present, "an instance was destroyed under a running program"
        assert not self.foreign & set(self.prepared.values())

    @invariant()
    def the_report_tells_the_hardware(self) -> None:
        assert self.agent is not None
        report = self.agent.report()
        seen = {i.uuid: i for i in report.gpus[0].instances}
        assert set(seen) == {i["compute"][0]["uuid"] for i in self._instances()}
        assert {u for u, i in seen.items() if i.state is InstanceState.FOREIGN} == self.foreign
        assert {i.claim for i in seen.values() if i.state is InstanceState.BUSY} == set(report.held)
        assert set(self.prepared) <= set(report.held)
        assert self.running <= {u for u, i in seen.items() if i.state is InstanceState.BUSY}

    def teardown(self) -> None:
        if self.agent is not None:
            self.agent.close()
        self.machine.state.close()
        self.directory.cleanup()


TestLife = Life.TestCase
# An example has 36 steps on average: some lives end early.
EXAMPLES = 3000 if os.environ.get("MIGCTL_THOROUGH") else 60
TestLife.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)
