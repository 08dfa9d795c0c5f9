"""`python -m tests.bench.kube`: three BENCH lines.

events   changes of pods, 6 KB each, decoded and taken in by a controller that watches a large cluster
pods     a burst of pods on a fake API server: from creation to an open gate; the median of several bursts
gpus     that large cluster in the controller: memory, and the time of a snapshot, the first and later ones
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys

from tests.bench.kube.burst import burst
from tests.bench.kube.server import VERSION

GPUS, PODS, EVENTS = 10_000, 100_000, 200_000
BURST, BURSTS = 1000, 3


def watched() -> dict[str, float]:
    """The figures of a watching controller."""
    server = [sys.executable, "-m", "tests.bench.kube.server", str(GPUS), str(PODS), str(EVENTS)]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        url = serving.stdout.readline().strip()
        watcher = [sys.executable, "-m", "tests.bench.kube.watcher", url, str(EVENTS), str(VERSION + EVENTS)]
        told = subprocess.run(watcher, check=True, stdout=subprocess.PIPE, text=True).stdout
        serving.kill()
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def main() -> None:
    bursts = [asyncio.run(burst(BURST)) for _ in range(BURSTS)]
    rate, p99 = (statistics.median(column) for column in zip(*bursts, strict=True))
    print(f"BENCH kube pods={BURST} create_to_ungated_per_s={rate:.0f} p99_ms={p99 * 1000:.0f}", flush=True)
    found = watched()
    print(f"BENCH kube events_per_s={found['events_per_s']:.0f}")
    print(
        f"BENCH kube gpus={GPUS} pods={PODS} rss_mib={found['rss_mib']:.0f} peak_mib={found['peak_mib']:.0f} "
        f"snapshot_ms={found['snapshot_ms']:.0f} first_ms={found['snapshot_first_ms']:.0f} "
        f"sync_s={found['sync_s']:.1f}"
    )


if __name__ == "__main__":
    main()
