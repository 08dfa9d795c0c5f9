"""`make bench`: how long a person waits.

submit_to_running_ms  from the submission reaching the API to the workload's process running, on
                      simulated GPUs without driver latency; each workload is deleted before the next
cli_*_ms              the command line's own figures, see tests/bench/cli.py
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

from migctl.backends.http.client import RemoteControlPlane
from migctl.backends.protocol import Change
from migctl.embedded import daemon
from migctl.embedded.home import Home
from migctl.objects import Claim, GpuRequest, Meta, Phase, Workload, WorkloadSpec, WorkloadType
from tests.bench import cli

SUBMISSIONS = 60


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


async def submissions(home: Home) -> list[float]:
    """Milliseconds of each submission."""
    control = RemoteControlPlane(home.socket)
    took = []
    for number in range(SUBMISSIONS):
        spec = WorkloadSpec(
            type=WorkloadType.TRAINING,
            gpu_request=GpuRequest(profile="1g.5gb"),
            command=("sleep", "600"),
            directory=str(home.path),
        )
        version = (await control.list(Claim)).version
        async with contextlib.aclosing(cast("AsyncGenerator[Change[Claim]]", control.watch(Claim, version))) as watch:
            started = time.perf_counter()
            workload = await control.create(Workload(meta=Meta(name=f"bench-{number}", project="default"), spec=spec))
            async for change in watch:
                if change.object.spec.workload_uid == workload.meta.uid and change.object.status.phase is Phase.RUNNING:
                    break
        took.append((time.perf_counter() - started) * 1000)
        await control.delete(workload)
        while (await control.list(Claim)).items:
            await asyncio.sleep(0.02)
    return took


def main() -> None:
    home = Home(Path(tempfile.mkdtemp(prefix="migctl-bench-")))
    os.environ["MIGCTL_HOME"] = str(home.path)
    daemon.start(home, "a100-40gb=1", detach=True)
    try:
        took = asyncio.run(submissions(home))
    finally:
        daemon.stop(home)
    print(f"BENCH submit_to_running_ms p50={statistics.median(took):.1f} p99={percentile(took, 0.99):.1f}")
    cli.main()


if __name__ == "__main__":
    main()
