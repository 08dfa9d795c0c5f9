"""Fractions as `migctl up` keeps them on GPUs that are not simulated: acceptance cases A7, A8, A11, A14, B5 and E2.

The driver is the stand-in of tests/nodeagent/shim, its libraries found as NVIDIA's are; workloads are real processes
that call it by ctypes and are watched by pynvml. Also `migctl run`, which needs no daemon.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from migctl.objects import Phase
from nodeagent.shim import placing, region
from nodeagent.shim.build import BUILT, LIBRARIES, SOURCES, BuildError, build_all, compiler
from solver.model.cluster import Backing
from tests.e2e.embedded import Embedded
from tests.limits import WAIT_S
from tests.nodeagent.shim.harness.machine import MIB, Machine, StandinGpu, gpu_uuid
from tests.nodeagent.shim.harness.toolchain import Toolchain

V100, A10 = 16160, 23028
CONTEXT = 512  # as the agent takes it to be, so that measuring it changes nothing while a test looks
BLOCK = 16

FILL = f"""
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
held, count = [], ctypes.c_int()
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
for device in range(count.value):
    context, pointer, blocks = ctypes.c_void_p(), ctypes.c_uint64(), 0
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        continue
    assert cuda.cuCtxSetCurrent(context) == 0
    while blocks < int(sys.argv[1]) and not (code := cuda.cuMemAlloc_v2(ctypes.byref(pointer), {BLOCK} << 20)):
        blocks += 1
    held.append((blocks * {BLOCK}, code))
print("held", *held, flush=True)
time.sleep(float(sys.argv[2]))
"""

MONITOR = """
import pynvml as n
n.nvmlInit()
for i in range(n.nvmlDeviceGetCount()):
    print(n.nvmlDeviceGetMemoryInfo(n.nvmlDeviceGetHandleByIndex(i)).total / 2**20)
"""

ALL = str(10**6)


def filling(blocks: int | str = ALL, seconds: float = 600) -> tuple[str, ...]:
    return ("--", sys.executable, "-c", FILL, str(blocks), str(seconds))


@dataclass(frozen=True)
class OnDriver(Embedded):
    """A home on a machine whose driver's libraries are found first."""

    machine: Machine

    @property
    def environment(self) -> dict[str, str]:
        found = {"LD_LIBRARY_PATH": str(self.machine.beside().libraries), "XDG_RUNTIME_DIR": str(self.home)}
        return {**super().environment, **found}

    def held(self, name: str) -> str:
        """What a workload's FILL says it got."""
        log = self.home / "runs" / self.workload(name).meta.uid / "0" / "log"

        def said() -> str:
            lines = log.read_text().splitlines() if log.exists() else []
            return next((line for line in lines if line.startswith("held")), "")

        return self.until(f"{name} has filled its share", said)

    def totals(self, name: str) -> list[int]:
        """The GPUs' MiB that a monitor beside a workload sees."""
        return [int(float(word)) for word in self.ok("exec", name, "--", sys.executable, "-c", MONITOR).split()]


def most(share: int) -> str:
    """What FILL reports of a share of MiB that is full: the driver keeps 1 MiB of the GPU for itself."""
    return f"({(share - 1 - CONTEXT) // BLOCK * BLOCK}, 2)"


@pytest.fixture(scope="module")
def libraries() -> None:
    """Ours, where this installation looks for them: what `make shim` does."""
    try:
        compiler()
    except BuildError as error:
        pytest.skip(str(error))
    lock = os.open(SOURCES, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = max(path.stat().st_mtime for path in SOURCES.rglob("*"))
        built = [BUILT / library.file for library in LIBRARIES]
        if not all(path.exists() and path.stat().st_mtime >= newest for path in built):
            build_all()
    finally:
        os.close(lock)


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory, libraries: None) -> Toolchain:
    return Toolchain(tmp_path_factory.mktemp("toolchain"))


def machine_of(folder: Path, toolchain: Toolchain, *mib: int) -> Machine:
    gpus = [StandinGpu(gpu_uuid(number), size * MIB, CONTEXT * MIB) for number, size in enumerate(mib)]
    return Machine.make(folder, toolchain.standins(), gpus)


@pytest.fixture(scope="module")
def v100(toolchain: Toolchain) -> Iterator[OnDriver]:
    yield from _up(toolchain, V100)


@pytest.fixture(scope="module")
def a10s(toolchain: Toolchain) -> Iterator[OnDriver]:
    yield from _up(toolchain, A10, A10)


def _up(toolchain: Toolchain, *mib: int) -> Iterator[OnDriver]:
    home = Path(tempfile.mkdtemp(prefix="migctl-"))
    started = OnDriver(home, machine_of(home / "driver", toolchain, *mib))
    started.ok("up", "--detach")
    started.ok("project", "create", "team-a", "--quota", str(len(mib)))
    started.ok("project", "set", "team-a")
    yield started
    started.end()


def test_a7_a8_each_half_is_8080_mib_and_the_greedy_one_leaves_its_neighbour_alone(v100: OnDriver) -> None:
    v100.ok("submit", "greedy", "-g", "0.5", *filling())
    v100.ok("submit", "modest", "-g", "0.5", *filling(10))
    assert v100.held("greedy") == f"held {most(8080)}"
    assert v100.held("modest") == f"held ({10 * BLOCK}, 0)"
    assert v100.totals("greedy") == v100.totals("modest") == [8080]
    assert v100.machine.held() <= V100 * MIB
    beside = v100.ok("exec", "modest", "--", sys.executable, "-c", FILL, ALL, "0").strip()
    assert re.fullmatch(r"held \(\d+, 2\)", beside)
    assert v100.status("greedy") is v100.status("modest") is Phase.RUNNING
    assert "software" in v100.ok("describe", "greedy")
    assert "software" in v100.ok("gpus")
    v100.delete_all()


def test_a11_5g_without_a_name_is_4769_mib(v100: OnDriver) -> None:
    v100.ok("submit", "--gpu-memory", "5G", *filling())
    (name,) = v100.names()
    assert v100.held(name) == f"held {most(4769)}"
    assert v100.totals(name) == [4769]
    v100.delete_all()


def test_b5_interactive_parts_are_8080_and_4848_mib(v100: OnDriver) -> None:
    for name, part in (("half", "0.5"), ("third", "0.3")):
        v100.ok("submit", name, "-g", part, "--interactive", *filling())
    assert v100.held("third") == f"held {most(4848)}"
    assert (v100.totals("half"), v100.totals("third")) == ([8080], [4848])
    v100.delete_all()


def test_e2_parts_of_an_a10_are_11514_and_6908_mib(a10s: OnDriver) -> None:
    for name, part in (("half", "0.5"), ("third", "0.3")):
        a10s.ok("submit", name, "-g", part, *filling(1))
        assert a10s.held(name) == f"held ({BLOCK}, 0)"
    assert 11514 in a10s.totals("half")
    assert 6908 in a10s.totals("third")
    a10s.delete_all()


def test_a14_half_of_each_of_two_devices(a10s: OnDriver) -> None:
    a10s.ok("submit", "wide", "-g", "0.5", "--gpu-devices", "2", *filling())
    assert a10s.held("wide") == f"held {most(11514)} {most(11514)}"
    assert a10s.totals("wide") == [11514, 11514]
    (pod,) = a10s.pods("wide")
    assert pod.status.allocation is not None
    assert {device.backing for device in pod.status.allocation.devices} == {Backing.SOFTWARE}
    a10s.delete_all()


@pytest.fixture
def alone(tmp_path: Path, toolchain: Toolchain) -> OnDriver:
    """No daemon."""
    return OnDriver(tmp_path, machine_of(tmp_path / "driver", toolchain, V100))


def test_run_gives_a_command_its_part_without_a_daemon(alone: OnDriver) -> None:
    done = alone.run("run", "-g", "0.5", *filling(seconds=0))
    assert (done.returncode, done.stdout) == (0, f"held {most(8080)}\n")
    assert "8080 of 16160 MiB of GPU 0" in done.stderr
    assert alone.ok("run", "--gpu-memory", "5G", "--", sys.executable, "-c", MONITOR) == "4769.0\n"
    assert not [path for path in (alone.home / "migctl-run").iterdir() if path.is_dir()]


def test_run_has_the_exit_code_and_the_ending_of_its_command(alone: OnDriver) -> None:
    assert alone.run("run", "-g", "0.5", "--", "sh", "-c", "exit 7").returncode == 7
    assert alone.run("run", "-g", "0.5", "--", "sh", "-c", "kill -9 $$").returncode == 137
    assert "cannot be run" in alone.fails(1, "run", "-g", "0.5", "--", "no-such-program")
    assert "no GPU 3" in alone.fails(1, "run", "-g", "0.5", "--device", "3", "--", "true")
    assert "below 1" in alone.fails(2, "run", "-g", "1.5", "--", "true")


def test_runs_are_never_given_more_of_a_gpu_than_it_has_and_survive_their_parent(alone: OnDriver) -> None:
    words = [sys.executable, "-m", "migctl", "run", "-g", "0.7", *filling(1)]
    first = subprocess.Popen(words, env=alone.environment, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline().startswith("held")
    assert "has 4848 MiB of 16160 left" in alone.fails(5, "run", "-g", "0.5", "--", "true")
    first.kill()
    first.wait()
    assert "left" in alone.fails(5, "run", "-g", "0.5", "--", "true")
    (share,) = [path for path in (alone.home / "migctl-run").iterdir() if path.is_dir()]
    _kill_holders(share)
    deadline = time.monotonic() + WAIT_S
    while (done := alone.run("run", "-g", "0.5", "--", "true")).returncode and time.monotonic() < deadline:
        time.sleep(0.1)
    assert done.returncode == 0
    first.stdout.close()


def _kill_holders(share: Path) -> None:
    for holder in region.holders(placing.accounts(share)):
        os.kill(holder.pid, signal.SIGKILL)


def test_run_says_what_is_missing_on_a_machine_without_a_driver(tmp_path: Path) -> None:
    without = Embedded(tmp_path)
    if "LD_LIBRARY_PATH" in without.environment or Path("/proc/driver/nvidia").exists():
        pytest.skip("there may be a driver here")
    assert "no NVIDIA driver" in without.fails(1, "run", "-g", "0.5", "--", "true")
