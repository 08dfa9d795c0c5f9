"""Every point of a DRA driver's day, interrupted: killed there, refused there, the disk full there.

Here the driver's own files are looked at: `make test` meets each change of one by a kill and each kind of operation
by an error, `make soak` every single point.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.nvml import NvmlError
from nodeagent.simulated_nvml.faults import Fault
from nodeagent.simulated_nvml.hardware import NvmlReturn
from tests.depth import THOROUGH, sampled
from tests.nodeagent.dra.harness.driver_day import DriverDay, set_scene
from tests.nodeagent.faults.fault_points import FILE_OPERATIONS, Point
from tests.nodeagent.faults.test_fault_points import deaths, killed_processes, kinds, located, tmp_path

__all__ = ["tmp_path"]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> DriverDay:
    scene = tmp_path_factory.mktemp("driver") / "scene"
    set_scene(scene)
    return DriverDay(scene)


@pytest.fixture(scope="module")
def points(day: DriverDay, tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    directory = day.copy(tmp_path_factory.mktemp("whole") / "day")
    injector = day.injector(directory)
    told: list[str] = []
    day.live(directory, injector, told.append)
    assert told == [f"{word} {name}" for name, _ in day.steps() for word in ("begun", "answered")]
    day.check(directory, told)
    return injector.passed


@pytest.fixture(scope="module")
def victims(day: DriverDay) -> Iterator[subprocess.Popen[str]]:
    with killed_processes(str(day.scene), "driver") as process:
        yield process


def test_killed_at_every_point(
    day: DriverDay, points: list[Point], victims: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert victims.stdin is not None
    assert victims.stdout is not None
    writes = sampled([p for p in points if p.name in ("write", "replace", "unlink")], 3)
    chosen = deaths(points) if THOROUGH else writes
    for point in chosen:
        directory = day.copy(tmp_path / "day")
        job = {"directory": str(directory), "step": point.step, "name": point.name, "nth": point.nth}
        print(json.dumps(job), file=victims.stdin, flush=True)
        with located(point):
            assert int(victims.stdout.readline()) == signal.SIGKILL
            told = directory / "told"
            day.check(directory, told.read_text().splitlines() if told.exists() else [])


def refused(day: DriverDay, directory: Path, point: Point, action: str | Fault) -> None:
    told: list[str] = []
    with located(point, action):
        try:
            day.live(directory, day.injector(directory, point, action), told.append)
        except (NvmlError, OSError):
            assert point.step == "start"
        day.check(directory, told)


def test_a_full_or_broken_disk_at_every_write(day: DriverDay, points: list[Point], tmp_path: Path) -> None:
    for point in sampled(kinds([p for p in points if p.name in FILE_OPERATIONS]), 2):
        for error in ("ENOSPC", "EIO"):
            refused(day, day.copy(tmp_path / "day"), point, error)


@pytest.mark.skipif(not THOROUGH, reason="the agent's own day meets them: make soak")
def test_an_error_at_every_driver_call(day: DriverDay, points: list[Point], tmp_path: Path) -> None:
    for point in [p for p in points if p.name.startswith("nvml")]:
        refused(day, day.copy(tmp_path / "day"), point, Fault("*", error=NvmlReturn.UNKNOWN))
