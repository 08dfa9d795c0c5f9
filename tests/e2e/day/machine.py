"""What befalls a simulated machine: kills, power cuts, errors of GPUs and of the driver, foreign processes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from migctl.backends.protocol import Unavailable
from migctl.cli.failures import ExitCode
from migctl.embedded.home import Home
from migctl.objects import Claim, GpuNode, Phase
from nodeagent.contract import environment
from nodeagent.simulated_nvml import faults, hardware, processes, smi
from nodeagent.simulated_nvml.state import StateFile
from tests.e2e.embedded import Embedded

XIDS = (13, 31, 43, 48, 63, 64, 74, 79, 94, 95, 109, 119)
DRIVER_FAULTS = (
    "nvmlDeviceCreateGpuInstance*#2=INSUFFICIENT_RESOURCES",
    "nvmlDeviceCreateGpuInstance*#3=after-UNKNOWN",
    "nvmlGpuInstanceCreateComputeInstance*#2=UNKNOWN",
    "nvmlGpuInstanceDestroy#2=IN_USE",
    "nvmlGpuInstanceDestroy#3=kill",
    "nvmlComputeInstanceDestroy#2=after-UNKNOWN",
    "nvmlDeviceGetGpuInstances#9=UNKNOWN",
    "nvmlDeviceGetMemoryInfo*#40=GPU_IS_LOST",
    "nvmlDeviceCreateGpuInstance*#4=kill",
)
MOST_FOREIGN = 2


@dataclass
class Machine:
    """The machine under one `migctl up`. `counts`: what has befallen it."""

    one: Embedded
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    _foreign: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def befall(self) -> None:
        """Something happens; `migctl up` runs afterwards."""
        kinds: dict[Callable[[], None], int] = {
            self._program_dies: 30,
            self._up_is_killed: 12,
            self._power_cut: 5,
            self._gpu_error: 8,
            self._reset: 12,
            self._driver_fault: 8,
            self._driver_upgrade: 3,
            self._foreign_process: 12,
            self._foreign_end: 12,
        }
        happening = self.random.choices([*kinds], [*kinds.values()])[0]
        self.counts[happening.__name__.strip("_").replace("_", "-")] += 1
        happening()
        self.ensure_up()

    def ensure_up(self) -> None:
        """Start `migctl up` where a fault has ended it."""
        while self.one.run("list", "-A").returncode:
            up = self.one.run("up", "--detach")
            assert up.returncode in (0, ExitCode.CONFLICT), f"migctl up: {up.stderr}"

    def close(self) -> None:
        """End the foreign processes."""
        while self._foreign:
            self._foreign_end()

    def heal(self) -> None:
        """An admin ends foreign processes and boots the machine: no GPU has a reason left to be fenced."""
        self.close()
        self._power_cut()
        self.one.ok("node", "uncordon", *(node.meta.name for node in self.one.look(GpuNode)))

    @property
    def _state(self) -> StateFile:
        return StateFile(Home(self.one.home).simulated)

    def _gpu(self) -> dict[str, Any]:
        gpu: dict[str, Any] = self.random.choice(self._state.read()["gpus"])
        return gpu

    def _program_dies(self) -> None:
        running: list[int] = []
        with contextlib.suppress(Unavailable):
            running = [c.status.pid for c in self.one.look(Claim) if c.status.phase is Phase.RUNNING and c.status.pid]
        if not running:
            return
        how = self.random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV))
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            leader = psutil.Process(self.random.choice(running))
            self.random.choice([leader, *leader.children(recursive=True)]).send_signal(how)

    def _up_is_killed(self) -> None:
        with contextlib.suppress(psutil.Error, FileNotFoundError):
            self.one.kill()

    def _power_cut(self) -> None:
        """Every process of the machine ends at once, and it boots."""
        with contextlib.suppress(psutil.Error, FileNotFoundError):
            self.one.kill()
        for process, _ in self.one.programs():
            with contextlib.suppress(psutil.Error):
                process.kill()
        with self._state.change() as machine:
            machine["host_boot_id"] = str(uuid.uuid4())
        self.ensure_up()

    def _gpu_error(self) -> None:
        hardware.fail(self._state, self._gpu()["uuid"], xid=self.random.choice(XIDS))

    def _reset(self) -> None:
        """An admin tries to reset a GPU; one in use refuses."""
        count = len(self._state.read()["gpus"])
        subprocess.run(
            [sys.executable, "-m", smi.__name__, "--gpu-reset", "-i", str(self.random.randrange(count))],
            env={**os.environ, environment.SIMULATED: str(Home(self.one.home).simulated)},
            capture_output=True,
            check=False,
        )

    def _driver_fault(self) -> None:
        """`migctl up` begins anew on a driver that fails at some of its calls."""
        self.one.run("down")
        fault = {faults.VARIABLE: self.random.choice(DRIVER_FAULTS)}
        subprocess.run(
            [sys.executable, "-m", "migctl", "up", "--detach"],
            env={**self.one.environment, **fault},
            capture_output=True,
            check=False,
        )

    def _driver_upgrade(self) -> None:
        with self._state.change() as machine:
            machine["driver"] = f"590.{self.random.randrange(100)}.01"

    def _foreign_process(self) -> None:
        """Somebody takes memory of a GPU past migctl."""
        gpu = self._gpu()
        if gpu["mig"] or len(self._foreign) >= MOST_FOREIGN:
            return
        process = subprocess.Popen(["sleep", "3600"])
        self._foreign.append(process)
        with contextlib.suppress(processes.OutOfMemory):
            processes.hold(self._state, gpu["uuid"], self.random.choice((500, 4000, 12000)), pid=process.pid)

    def _foreign_end(self) -> None:
        if self._foreign:
            process = self._foreign.pop()
            process.kill()
            process.wait()
