"""Latency of the embedded control plane, printed as BENCH lines: `python -m tests.bench.store`.

Each figure is of one caller after another, in process (store) and through the socket from
another event loop's view (socket): what a submission pays before anybody decides on it.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app
from migctl.api.server import serving
from migctl.backends.http.client import RemoteControlPlane
from migctl.backends.protocol import ControlPlane
from migctl.backends.sqlite.store import SqliteControlPlane
from migctl.objects import Workload
from tests.fakes.runtime import FakeRuntime
from tests.migctl.backends.contract import samples

ROUNDS = 300
TOGETHER = 100


async def timed(act: Callable[[int], Awaitable[object]], rounds: int) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for i in range(rounds):
        start = time.perf_counter()
        await act(i)
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def report(name: str, milliseconds: Sequence[float]) -> None:
    p50, p99 = statistics.median(milliseconds), statistics.quantiles(milliseconds, n=100)[98]
    print(f"BENCH {name}_ms p50={p50:.2f} p99={p99:.2f}")


async def measure(name: str, control_plane: ControlPlane) -> None:
    async def create(i: int) -> None:
        await control_plane.create(samples.workload(f"w{i}"))

    async def patch(i: int) -> None:
        await control_plane.patch(some, {"status": {"pending": i + 1}})

    async def noticed(i: int) -> None:
        """From the call that changes an object to the watch that tells it."""
        told = asyncio.ensure_future(anext(watch))
        await asyncio.gather(told, control_plane.patch(some, {"status": {"message": str(i)}}))

    async def together(round: int) -> None:
        await asyncio.gather(*(control_plane.create(samples.workload(f"t{round}-{i}")) for i in range(TOGETHER)))

    report(f"{name}_create", await timed(create, ROUNDS))
    some = await control_plane.get(Workload, "w0", "team-a")
    report(f"{name}_patch", await timed(patch, ROUNDS))
    watch = control_plane.watch(Workload, (await control_plane.list(Workload)).version)
    report(f"{name}_watch", await timed(noticed, ROUNDS))
    report(f"{name}_list_{ROUNDS}", await timed(lambda _: control_plane.list(Workload), 50))
    report(f"{name}_create_{TOGETHER}_together", await timed(together, 10))


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteControlPlane(Path(folder) / "store.db")
        await measure("store", store)
        await store.close()
        served = SqliteControlPlane(Path(folder) / "served.db")
        await served.create(samples.project("team-a"))
        socket = Path(folder) / "s"
        async with serving(create_app(AdmittingControlPlane(served), FakeRuntime()), socket):
            remote = RemoteControlPlane(socket)
            await measure("socket", remote)
        await served.close()
        start = time.perf_counter()
        await SqliteControlPlane(Path(folder) / "served.db").close()
        print(f"BENCH store_open_{ROUNDS + 10 * TOGETHER}_objects_ms p50={(time.perf_counter() - start) * 1000:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
