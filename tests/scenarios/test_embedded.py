"""The cases on a running `migctl up` with simulated nodes: a sample in `make test`, all in `make soak-sweeps`.

test_scenarios.py plays every one of them on a virtual clock.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from migctl.backends.http.client import RemoteControlPlane
from migctl.backends.protocol import ControlPlane
from migctl.objects import Claim, Event, GpuNode, Phase, Project, Workload
from tests.depth import sampled
from tests.e2e.embedded import Embedded
from tests.scenarios.cases import CASES
from tests.scenarios.language import Scenario, parse
from tests.scenarios.play import Condition, play


@dataclass(frozen=True)
class EmbeddedWorld:
    """Real processes, one control plane; what is expected is waited for."""

    embedded: Embedded

    def prepare(self, scenario: Scenario) -> None:
        """Label the nodes, and make the queues."""

        async def write(control: ControlPlane) -> None:
            for department in scenario.departments:
                await control.create(department)
            for project in scenario.projects:
                await control.create(project)
            for node in scenario.nodes:
                stored = await control.get(GpuNode, node.name)
                await control.patch(stored, {"meta": {"labels": dict(node.labels)}})

        self._with(write)

    def submit(self, workload: Workload) -> None:
        async def create(control: ControlPlane) -> None:
            await control.create(workload)

        self._with(create)
        self.until("it is looked at", lambda: bool(self._pods(workload.meta.name)) and not self._unseen())

    def delete(self, name: str) -> None:
        (found,) = (w for w in self.embedded.look(Workload) if w.meta.name == name)

        async def delete(control: ControlPlane) -> None:
            await control.delete(found)

        self._with(delete)
        self.until(f"{name} is gone", lambda: name not in self.embedded.names())

    def pass_time(self, seconds: float) -> None:
        raise NotImplementedError("a real clock does not jump")

    def cycles(self, count: int) -> None:
        """Every write of an object is a reason to decide again."""

        async def write(control: ControlPlane) -> None:
            for number in range(count):
                node = (await control.list(GpuNode)).items[0]
                await control.patch(node, {"meta": {"labels": {"cycle": str(number)}}})

        self._with(write)

    def is_in(self, name: str, phase: str) -> bool:
        mine = [pod for pod in self._pods(name) if pod.meta.deleting is None]
        return bool(mine) and all(pod.status.phase.value == phase for pod in mine)

    def reason(self, name: str) -> str:
        project = self._pods(name)[0].meta.project
        return " ".join(self.embedded.json("why", name, "-p", project)["reasons"])

    def told(self, name: str) -> str:
        told = [e for e in self._stops() if e.spec.about == f"Workload/{name}"]
        return told[-1].spec.message if told else ""

    def pods(self, name: str) -> dict[str, str]:
        return {p.meta.uid: p.status.allocation.node for p in self._pods(name) if p.status.allocation}

    def uses(self, project: str) -> float:
        return next(p.status.allocated for p in self.embedded.look(Project) if p.meta.name == project)

    def stopped(self) -> Counter[str]:
        words = {"Moved": "moved", "Preempted": "evicted"}
        return Counter(words[event.spec.reason] for event in self._stops())

    def until(self, what: str, true: Condition) -> None:
        self.embedded.until(what, true)

    def _stops(self) -> list[Event]:
        events = [e for e in self.embedded.look(Event) if e.spec.reason in ("Moved", "Preempted")]
        return sorted(events, key=lambda event: int(event.meta.version))

    def _pods(self, name: str) -> list[Claim]:
        return [claim for claim in self.embedded.look(Claim) if claim.spec.workload == name]

    def _unseen(self) -> list[Claim]:
        """Pods that no decision has looked at, or that are on their way."""
        every = self.embedded.look(Claim)
        return [
            c
            for c in every
            if c.meta.deleting is not None
            or (c.status.phase is Phase.PENDING and (not c.status.reason or c.status.nomination or c.status.allocation))
        ]

    def _with(self, work: Callable[[ControlPlane], Awaitable[None]]) -> None:
        async def connected() -> None:
            control = RemoteControlPlane(self.embedded.home / "migctl.sock")
            await work(control)

        asyncio.run(connected())


@pytest.fixture
def start() -> Iterator[Callable[[Scenario], EmbeddedWorld]]:
    """Starts a control plane with a scenario's nodes and queues, and ends it and its workloads."""
    started: list[Embedded] = []

    def start(scenario: Scenario) -> EmbeddedWorld:
        one = Embedded(Path(tempfile.mkdtemp(prefix="migctl-")))
        started.append(one)
        one.up(",".join(f"{node.name}:{node.model}={node.count}" for node in scenario.nodes))
        world = EmbeddedWorld(one)
        world.prepare(scenario)
        return world

    yield start
    for one in started:
        one.end()


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in sampled(list(CASES.items()), 4)])
def test_case(text: str, start: Callable[[Scenario], EmbeddedWorld]) -> None:
    scenario = parse(text)
    play(scenario, start(scenario))
