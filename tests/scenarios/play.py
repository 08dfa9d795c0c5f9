"""Playing a scenario: every step in a world, every expectation checked."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from msgspec.structs import replace

from migctl import admission
from migctl.objects import Workload
from tests.scenarios.language import Cycles, Delete, Expect, Pass, Scenario, Submit


class World(Protocol):
    """What a scenario is played in. Every question is answered for the state that things come to rest in."""

    def submit(self, workload: Workload) -> None: ...

    def delete(self, name: str) -> None: ...

    def pass_time(self, seconds: float) -> None: ...

    def cycles(self, count: int) -> None: ...

    def is_in(self, name: str, phase: str) -> bool: ...

    def reason(self, name: str) -> str:
        """Why a workload waits."""
        ...

    def told(self, name: str) -> str:
        """What its user was told when it was last stopped."""
        ...

    def pods(self, name: str) -> dict[str, str]:
        """Its running pods, each with its node."""
        ...

    def uses(self, project: str) -> float: ...

    def stopped(self) -> Counter[str]:
        """How many pods have been moved and evicted so far, all in all."""
        ...

    def until(self, what: str, true: Condition) -> None:
        """Raise AssertionError unless it is, or becomes, true."""
        ...


class Condition(Protocol):
    def __call__(self) -> bool: ...


def play(scenario: Scenario, world: World) -> None:
    """Carry the scenario out in a world that has its nodes and projects."""
    before = world.stopped()
    seen: dict[str, dict[str, str]] = {}
    for step in scenario.steps:
        match step:
            case Submit():
                before = world.stopped()
                world.submit(replace(step.workload, spec=admission.ranked(step.workload.spec)))
            case Delete():
                before = world.stopped()
                world.delete(step.name)
            case Pass():
                world.pass_time(step.seconds)
            case Cycles():
                world.cycles(step.count)
            case Expect():
                _expect(world, step, before, seen)


def _expect(world: World, step: Expect, before: Counter[str], seen: dict[str, dict[str, str]]) -> None:
    names = step.names
    match step.what:
        case "moved" | "evicted":
            world.until(step.line, lambda: (world.stopped() - before)[step.what] == int(step.value))
        case "waits":
            world.until(step.line, lambda: step.value in world.reason(names[0]))
        case "told":
            world.until(step.line, lambda: step.value in world.told(names[0]))
        case "on":
            world.until(step.line, lambda: set(world.pods(names[0]).values()) == set(step.value.split()))
        case "uses":
            world.until(step.line, lambda: abs(world.uses(names[0]) - float(step.value)) < 0.005)
        case "kept":
            for name in names:
                assert world.pods(name) == seen[name], f"{step.line}: {seen[name]} -> {world.pods(name)}"
        case phase:
            world.until(step.line, lambda: all(world.is_in(name, phase) for name in names))
            seen |= {name: world.pods(name) for name in names}
