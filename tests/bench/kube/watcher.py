"""A controller that stands by and watches: `python -m tests.bench.kube.watcher URL EVENTS LAST`, figures as JSON.

It is the controller of a cluster with all its parts, in a process of its own; it never gets to lead.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kubernetes.aio.client import Configuration

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import PODS
from migctl.backends.kubernetes.client.transport import ClusterAccess, Transport
from migctl.clock import system_clock
from migctl.controller.kubernetes.process import ControllerSettings, KubernetesController
from migctl.solver_process.planning import plan

SNAPSHOTS = 9


def resident_mib(field: str = "VmRSS") -> float:
    """Of this process, now or (VmHWM) at most so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


async def until(holds: Callable[[], bool]) -> float:
    began = time.perf_counter()
    while not holds():
        await asyncio.sleep(0.005)
    return time.perf_counter() - began


def snapshot_ms(controller: KubernetesController) -> tuple[float, float]:
    """The first snapshot and the median of those after it, in milliseconds."""
    took = []
    for _ in range(SNAPSHOTS):
        began = time.perf_counter()
        controller.loop.observe()
        took.append((time.perf_counter() - began) * 1000)
    return took[0], statistics.median(took[1:])


async def watch(url: str, events: int, last: int) -> dict[str, float]:
    """`last`: the version of the last event."""
    configuration = Configuration(host=url)
    configuration.api_key["BearerToken"] = "Bearer controller"
    async with Transport(ClusterAccess(configuration)) as transport:
        controller = KubernetesController(KubernetesApi(transport), system_clock, plan, ControllerSettings())
        pods = next(r for r in controller.cluster.reflectors if r.resource is PODS)
        running = asyncio.create_task(controller.run())
        synced_s = await until(lambda: controller.cluster.synced)
        events_s = await until(lambda: pods.version >= last)
        gc.collect()
        resident = resident_mib()
        first, then = snapshot_ms(controller)
        running.cancel()
        return {
            "sync_s": synced_s,
            "events_per_s": events / events_s,
            "rss_mib": resident,
            "peak_mib": resident_mib("VmHWM"),
            "snapshot_first_ms": first,
            "snapshot_ms": then,
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(watch(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
