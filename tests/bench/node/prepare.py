"""`make bench-agent`: what a prepare costs beyond the driver, whose calls are timed and taken off.

mig_create_overhead_ms  prepare that destroys nothing and creates an instance
replace_ms              the same where an idle instance in the way is destroyed first
reuse_ms                prepare that finds an equal idle instance
fsync_ms                what the disk takes to keep one line: a create waits for two, a reuse for one
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from nodeagent.agent import Agent
from nodeagent.contract.allocation import Allocation
from nodeagent.nvml import Nvml
from nodeagent.simulated_nvml import spec
from nodeagent.simulated_nvml.library import SimulatedNvml
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare

ROUNDS = 200
NODE = "bench"


def share(gpu: str, profile: str, start: int, size: int) -> DeviceShare:
    return DeviceShare(gpu, Backing.MIG, 1 / 7, 4864, profile, start, size)


class TimedDriver(SimulatedNvml):
    """Adds up the seconds spent in its calls."""

    spent = 0.0

    def _run(self, name: str, *arguments: Any) -> int:
        began = time.perf_counter()
        try:
            return super()._run(name, *arguments)
        finally:
            self.spent += time.perf_counter() - began


def timed(agent: Agent, driver: TimedDriver, claim: str, device: DeviceShare) -> float:
    """Milliseconds of one prepare beyond the driver's; the claim lets go again."""
    began, driver.spent = time.perf_counter(), 0.0
    agent.prepare(Allocation(claim, claim, "bench", NODE, (device,)))
    took = (time.perf_counter() - began - driver.spent) * 1000
    agent.unprepare(claim)
    return took


def fsync(path: Path) -> float:
    """Milliseconds until a line is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    began = time.perf_counter()
    os.write(descriptor, b"x" * 100)
    os.fdatasync(descriptor)
    took = (time.perf_counter() - began) * 1000
    os.close(descriptor)
    return took


def latencies(directory: Path) -> dict[str, list[float]]:
    """Milliseconds by kind; every round begins with an empty GPU."""
    took: dict[str, list[float]] = {"create": [], "reuse": [], "replace": [], "fsync": []}
    spec.create(directory / "machine.json", "h100=1")
    driver = TimedDriver(directory / "machine.json")
    agent = Agent(Nvml(driver), directory / "agent", NODE, boot_id=driver.boot_id)
    gpu = agent.gpus.uuids()[0]
    for number in range(ROUNDS):
        took["fsync"].append(fsync(directory / "line"))
        took["create"].append(timed(agent, driver, f"c{number}", share(gpu, "1g.10gb", 0, 1)))
        took["reuse"].append(timed(agent, driver, f"r{number}", share(gpu, "1g.10gb", 0, 1)))
        took["replace"].append(timed(agent, driver, f"p{number}", share(gpu, "2g.20gb", 0, 2)))
        agent.gpus.set_dynamic_mig(False)
        agent.gpus.set_dynamic_mig(True)
    agent.close()
    return took


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        took = latencies(Path(directory))
    p50 = {kind: statistics.median(values) for kind, values in took.items()}
    print(
        f"BENCH prepare mig_create_overhead_ms={p50['create']:.2f} reuse_ms={p50['reuse']:.2f} "
        f"replace_ms={p50['replace']:.2f} fsync_ms={p50['fsync']:.2f}"
    )


if __name__ == "__main__":
    main()
