"""What the fraction libraries cost on the stand-in driver, and whether a storm passes the limit.

launch_overhead_ns    a launch in a share against one without: the launch is the driver's own function in both
alloc_overhead_ns     an allocation and its free, likewise
storm_over_limit_bytes  the most that sixteen processes, some of them killed, ever held beyond their limit
recovery_ms           from the death of a process that held the whole share to its memory being had by another
"""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.harness.machine import GIB, MIB, Machine, Share, StandinGpu, gpu_uuid
from tests.nodeagent.shim.harness.toolchain import Toolchain

CALLS = 200_000
TURNS = 5
RECOVERIES = 20
STORM_LIMIT = 256 * MIB


def clock(program: Path, share: Share) -> dict[str, float]:
    done = subprocess.run([program, str(CALLS)], env=share.environment(), capture_output=True, text=True, check=True)
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", done.stdout)}


def overheads(machine: Machine, share: Share, program: Path) -> dict[str, float]:
    """Median differences over turns that alternate, so that a slow spell of the machine meets both."""
    pairs = [(clock(program, machine.beside()), clock(program, share)) for _ in range(TURNS)]
    return {name: statistics.median(inside[name] - outside[name] for outside, inside in pairs) for name in pairs[0][0]}


def storm(machine: Machine, share: Share, program: Path) -> int:
    """Bytes over the limit."""
    command = [str(program), "16", "1", "2000", str(4 * MIB)]
    subprocess.run(command, env=share.environment(), stdout=subprocess.DEVNULL, check=True)
    return max(0, machine.peak() - STORM_LIMIT)


def recovery(share: Share) -> float:
    """Median milliseconds."""
    times = []
    with share.cuda() as survivor:
        for _ in range(RECOVERIES):
            with share.cuda() as victim:
                victim.ok("cuMemAlloc_v2", "out", GIB)
                victim.process.kill()
                victim.process.wait()
                start = time.perf_counter()
                pointer = survivor.ok("cuMemAlloc_v2", "out", GIB)
                times.append((time.perf_counter() - start) * 1000)
                survivor.ok("cuMemFree_v2", pointer)
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        toolchain = Toolchain(Path(folder) / "toolchain")
        ours: Libraries = toolchain.ours()
        machine = Machine.make(Path(folder) / "machine", toolchain.standins(), [StandinGpu(gpu_uuid(0))])
        cost = overheads(machine, machine.share("cost", ours, GIB), toolchain.program("clock.c"))
        recovered = recovery(machine.share("recovery", ours, GIB))
        stormy = Machine.make(Path(folder) / "stormy", toolchain.standins(), [StandinGpu(gpu_uuid(0), context=MIB)])
        over = storm(stormy, stormy.share("storm", ours, STORM_LIMIT), toolchain.program("storm.c"))
        print(
            f"BENCH shim launch_overhead_ns={cost['launch']:.1f} alloc_overhead_ns={cost['alloc']:.0f} "
            f"storm_over_limit_bytes={over}"
        )
        print(f"recovery_ms={recovered:.2f}")


if __name__ == "__main__":
    main()
