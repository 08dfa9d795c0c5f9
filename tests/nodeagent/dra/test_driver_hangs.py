"""A driver call that never comes back while a claim is prepared: the other GPUs' claims are served.

`make test` lets one call of each step hang, `make soak` every single one.
"""

from __future__ import annotations

from pathlib import Path

from nodeagent.dra.claim_index import ClaimRef
from nodeagent.dra.driver import Driver
from nodeagent.simulated_nvml.faults import Fault
from tests.depth import THOROUGH
from tests.limits import WAIT_S
from tests.nodeagent.dra.harness.driver_day import DriverDay
from tests.nodeagent.dra.test_driver_faults import day, points, tmp_path
from tests.nodeagent.faults.fault_points import HangsOnly, Point
from tests.nodeagent.faults.test_fault_points import located
from tests.nodeagent.faults.test_hangs import LIBRARY, done, started

__all__ = ["day", "points", "tmp_path"]


def test_a_hang_in_a_prepare_keeps_no_other_gpus_claims_waiting(
    day: DriverDay, points: list[Point], tmp_path: Path
) -> None:
    calls = [p for p in points if p.name.startswith("nvml") and p.name not in LIBRARY and p.step != "start"]
    for point in calls if THOROUGH else {p.step: p for p in calls}.values():
        directory = day.copy(tmp_path / "day")
        with located(point, "hang"):
            told = hang(day, directory, point)
            day.check(directory, told)


def hang(day: DriverDay, directory: Path, point: Point) -> list[str]:
    """Live the day until `point` hangs, ask for a claim on every other GPU, let the driver go on; what was answered."""
    (directory / "node").mkdir()
    injector = day.injector(directory, point, Fault("*", hang=True))
    faults, told, now = injector.faults(), list[str](), 0.0
    deadlines = HangsOnly(change_s=0.02, try_s=0.02, faults=faults)
    agent, driver = day.start(directory, faults, deadlines=deadlines, clock=lambda: now)

    def until_it_hangs() -> None:
        for name, step in day.steps():
            injector.step = name
            told.append(f"begun {name}")
            step(driver)
            told.append(f"answered {name}")
            if name == point.step:
                return

    caller = started(until_it_hangs)
    assert faults.hanging.wait(WAIT_S), "the point was not met"
    injector.step = "meanwhile"
    now = 1000.0
    silent = {gpu.uuid for gpu in agent.report().gpus if gpu.fenced}
    assert len(silent) == 1
    for gpu, claim in day.spare.items():
        if gpu not in silent:
            serve(driver, ClaimRef("team-a", claim, f"uid-{claim}"))
            assert f"uid-{claim}" not in agent.held()
    faults.released.set()
    caller.join(WAIT_S)
    assert not caller.is_alive()
    agent.close()
    return told


def serve(driver: Driver, claim: ClaimRef) -> None:
    done(lambda: driver.prepare(claim))
    done(lambda: driver.unprepare(claim))
