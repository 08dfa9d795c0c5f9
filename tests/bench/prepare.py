"""`make bench-agent`: what a prepare costs, on simulated GPUs without driver latency.

mig_create_overhead_ms  prepare that destroys nothing and creates an instance, all that is not driver
                        latency (the simulated driver's own work included)
replace_ms              the same where an idle instance in the way is destroyed first
reuse_ms                prepare that finds an equal idle instance
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from nodeagent.agent import Agent
from nodeagent.contract import Allocation
from nodeagent.simulated_nvml import spec
from nodeagent.start import open_agent
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare

ROUNDS = 200
NODE = "bench"


def share(gpu: str, profile: str, start: int, size: int) -> DeviceShare:
    return DeviceShare(gpu, Backing.MIG, 1 / 7, 4864, profile, start, size)


def timed(agent: Agent, claim: str, device: DeviceShare) -> float:
    """Milliseconds of one prepare; the claim lets go again."""
    began = time.perf_counter()
    agent.prepare(Allocation(claim, claim, "bench", NODE, (device,)))
    took = (time.perf_counter() - began) * 1000
    agent.unprepare(claim)
    return took


def latencies(directory: Path) -> dict[str, list[float]]:
    """Milliseconds by kind; every round begins with an empty GPU."""
    took: dict[str, list[float]] = {"create": [], "reuse": [], "replace": []}
    spec.create(directory / "machine.json", "h100=1")
    agent = open_agent(NODE, directory / "agent", simulated=directory / "machine.json")
    gpu = agent.gpu_uuids()[0]
    for number in range(ROUNDS):
        took["create"].append(timed(agent, f"c{number}", share(gpu, "1g.10gb", 0, 1)))
        took["reuse"].append(timed(agent, f"r{number}", share(gpu, "1g.10gb", 0, 1)))
        took["replace"].append(timed(agent, f"p{number}", share(gpu, "2g.20gb", 0, 2)))
        agent.set_dynamic_mig(False)
        agent.set_dynamic_mig(True)
    agent.close()
    return took


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        took = latencies(Path(directory))
    p50 = {kind: statistics.median(values) for kind, values in took.items()}
    print(
        f"BENCH prepare mig_create_overhead_ms={p50['create']:.2f} reuse_ms={p50['reuse']:.2f} "
        f"replace_ms={p50['replace']:.2f}"
    )


if __name__ == "__main__":
    main()
