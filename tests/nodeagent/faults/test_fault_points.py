"""Every point of a day, interrupted: killed there, refused there, hanging there.

Where many points are alike one stands for them, and `make test` meets a sample of those; `make soak-sweeps` meets
them all, `make soak` every single point, with more errors.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest

from nodeagent.nvml import NvmlError
from nodeagent.simulated_nvml.faults import Fault
from nodeagent.simulated_nvml.hardware import NvmlReturn
from tests.depth import THOROUGH, sampled
from tests.nodeagent.faults.fault_points import FILE_OPERATIONS, Day, Injector, Point, check, set_scene

EVERY_ERROR = sorted({getattr(pynvml, name) for name in dir(pynvml) if name.startswith("NVML_ERROR_")})
"""All that nvml.h knows; the simulated driver itself uses fewer."""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory: thousands of fsyncs are not what these tests are about."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    scene = tmp_path_factory.mktemp("day") / "scene"
    set_scene(scene)
    return Day(scene)


@pytest.fixture(scope="module")
def points(day: Day, tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    directory = day.copy(tmp_path_factory.mktemp("whole") / "day")
    injector = Injector(directory / "agent")
    told: list[str] = []
    day.live(directory, injector, told.append)
    assert [line for line in told if line.startswith("begun")] == [f"begun {name}" for name, _ in day.steps()]
    assert len(told) == 2 * len(day.steps()), "a step is refused even without a fault"
    check(day, directory, told)
    return injector.passed


def test_the_day_passes_driver_calls_and_file_writes(points: list[Point]) -> None:
    names = {p.name for p in points}
    assert {"nvmlDeviceCreateGpuInstanceWithPlacement", "nvmlGpuInstanceDestroy", "nvmlComputeInstanceDestroy"} <= names
    assert {"open", "write", "fsync", "fdatasync", "replace", "unlink"} <= names


@contextlib.contextmanager
def killed_processes(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that forks one to be killed for every job it reads, and answers with what ended it."""
    command = [sys.executable, "-m", "tests.nodeagent.faults.killed_processes", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def victims(day: Day) -> Iterator[subprocess.Popen[str]]:
    with killed_processes(str(day.scene)) as process:
        yield process


@contextlib.contextmanager
def located(point: Point, action: object = "kill") -> Iterator[None]:
    """Name the point in whatever fails inside."""
    try:
        yield
    except BaseException as e:
        e.add_note(f"{action} at {point}")
        raise


def test_killed_at_every_point(day: Day, points: list[Point], victims: subprocess.Popen[str], tmp_path: Path) -> None:
    assert victims.stdin is not None
    assert victims.stdout is not None
    for point in deaths(points):
        directory = day.copy(tmp_path / "day")
        job = {"directory": str(directory), "step": point.step, "name": point.name, "nth": point.nth}
        print(json.dumps(job), file=victims.stdin, flush=True)
        with located(point):
            assert int(victims.stdout.readline()) == signal.SIGKILL
            told = directory / "told"
            check(day, directory, told.read_text().splitlines() if told.exists() else [])


def changes(point: Point) -> bool:
    """Whether something is different after this point: on the disk or on a GPU."""
    return point.name in FILE_OPERATIONS or any(word in point.name for word in ("Create", "Destroy", "Set"))


def deaths(points: list[Point]) -> list[Point]:
    """All points, or every change and the first read after it: being killed between reads is all the same."""
    if THOROUGH:
        return points
    return sampled([p for before, p in itertools.pairwise(points) if changes(before) or changes(p)], 4)


def kinds(points: list[Point]) -> list[Point]:
    """All points, or the first of each kind of call within a step."""
    return points if THOROUGH else list({(p.step, p.name): p for p in reversed(points)}.values())


def refused(day: Day, directory: Path, point: Point, action: str | Fault) -> None:
    """Live the day with one refusal; if the agent does not even start, start it again."""
    injector = Injector(directory / "agent", at=point, action=action)
    told: list[str] = []
    with located(point, action):
        try:
            day.live(directory, injector, told.append)
        except (NvmlError, OSError):
            assert point.step == "start"
        check(day, directory, told)


def test_every_nvml_error_at_calls_that_change_hardware(day: Day, points: list[Point], tmp_path: Path) -> None:
    """Before the driver did it, and after. Every third error each, in turn; `make soak`: every one."""
    calls = [p for p in points if p.name.startswith("nvml") and changes(p)]
    errors = EVERY_ERROR if THOROUGH else [code for code in NvmlReturn if code is not NvmlReturn.SUCCESS]
    faults = [Fault("*", error=code) for code in errors]
    faults += [
        Fault("*", error=code, after=True)
        for code in (errors if THOROUGH else (NvmlReturn.UNKNOWN, NvmlReturn.TIMEOUT))
    ]
    for number, point in enumerate(sampled(calls, 3)):
        for fault in faults if THOROUGH else faults[number % 3 :: 3]:
            refused(day, day.copy(tmp_path / "day"), point, fault)


def test_an_error_at_every_kind_of_driver_call(day: Day, points: list[Point], tmp_path: Path) -> None:
    kinds_of_call = list({(p.step, p.name): p for p in reversed(points) if p.name.startswith("nvml")}.values())
    for point in sampled(kinds_of_call, 3):
        refused(day, day.copy(tmp_path / "day"), point, Fault("*", error=NvmlReturn.NOT_FOUND))


@pytest.mark.skipif(not THOROUGH, reason="takes minutes: make soak")
@pytest.mark.parametrize("code", EVERY_ERROR)
def test_an_nvml_error_at_every_single_driver_call(day: Day, points: list[Point], tmp_path: Path, code: int) -> None:
    for point in [p for p in points if p.name.startswith("nvml")]:
        refused(day, day.copy(tmp_path / "day"), point, Fault("*", error=code))


def test_a_full_or_broken_disk_at_every_write(day: Day, points: list[Point], tmp_path: Path) -> None:
    errors = ("ENOSPC", "EIO")
    for number, point in enumerate(sampled([p for p in points if p.name in FILE_OPERATIONS], 3)):
        for error in errors if THOROUGH else errors[number % 2 :][:1]:
            refused(day, day.copy(tmp_path / "day"), point, error)
