"""What streams of changes cost: `python -m tests.bench.rest.stream`.

200 clients on TCP follow a `migctl up --simulate` of their own, while workloads are submitted, run and end. All clients
are this process. The lag of an event is from when a submission is sent to when each client has read of it, so the
submission itself is in it. Memory and processor time are the server's, in the time in which things change. The
calibration is a loop of plain Python, in milliseconds: what the machine was worth while this was measured.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from migctl.api.tcp.options import ListenOptions
from migctl.embedded import daemon
from migctl.embedded.home import Home
from tests.bench.rest.__main__ import calibration

CLIENTS, TOKENS, SUBMISSIONS, PAUSE_S = 200, 5, 100, 0.2
OPENED_AT_ONCE = 4


@dataclass
class StreamClient:
    """One client. got: when it read of a workload for the first time, by name."""

    first_ms: float = 0.0
    got: dict[str, float] = field(default_factory=dict)
    writer: asyncio.StreamWriter | None = None

    async def follow(self, port: int, token: str, began: asyncio.Event) -> None:
        start = time.perf_counter()
        reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        asked = "GET /api/v1/watch?kinds=workloads,projects,nodes HTTP/1.1\r\nHost: localhost\r\n"
        self.writer.write(f"{asked}Authorization: Bearer {token}\r\n\r\n".encode())
        while b"event: ready" not in await reader.readline():
            pass
        self.first_ms = (time.perf_counter() - start) * 1000
        began.set()
        while line := await reader.readline():
            if b'"type":"ADDED","kind":"workloads"' in line:
                name = line.split(b'"name":"', 1)[1].split(b'"', 1)[0].decode()
                self.got.setdefault(name, time.perf_counter())


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def tokens(owner: httpx.AsyncClient) -> list[str]:
    """Access tokens of different programs."""
    found = []
    for number in range(TOKENS):
        key = {"name": f"bench-{number}", "role": "researcher", "scopeType": "project", "scopeId": "default"}
        secret = (await owner.post("/access-keys", json=key)).raise_for_status().json()["clientSecret"]
        sent = {"grantType": "app_token", "AppId": key["name"], "AppSecret": secret}
        found.append((await owner.post("/token", json=sent)).raise_for_status().json()["accessToken"])
    return found


def training(name: str) -> dict[str, Any]:
    """A submission that ends at once."""
    compute = {"gpuRequestType": "portion", "gpuPortionRequest": 0.1}
    return {"name": name, "projectId": "default", "spec": {"image": "x", "command": "true", "compute": compute}}


async def measured(home: Home, port: int, server: psutil.Process) -> None:
    """Print the BENCH line."""
    transport = httpx.AsyncHTTPTransport(uds=str(home.socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://migctl/api/v1", timeout=60) as owner:
        signed_in = await tokens(owner)
        clients = [StreamClient() for _ in range(CLIENTS)]
        turns = asyncio.Semaphore(OPENED_AT_ONCE)

        async def opened(number: int, client: StreamClient) -> asyncio.Task[None]:
            async with turns:
                began = asyncio.Event()
                task = asyncio.create_task(client.follow(port, signed_in[number % TOKENS], began))
                await began.wait()
                return task

        following = await asyncio.gather(*(opened(number, client) for number, client in enumerate(clients)))
        before, sent = server.cpu_times(), dict[str, float]()
        for number in range(SUBMISSIONS):
            name = f"bench-{number}"
            sent[name] = time.perf_counter()
            (await owner.post("/workloads/trainings", json=training(name))).raise_for_status()
            await asyncio.sleep(PAUSE_S)
        while any(len(client.got) < SUBMISSIONS for client in clients):
            await asyncio.sleep(0.1)
        after = server.cpu_times()
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    firsts = [client.first_ms for client in clients]
    lags = [(client.got[name] - start) * 1000 for client in clients for name, start in sent.items()]
    cpu_s = after.user + after.system - before.user - before.system
    print(
        f"BENCH rest stream_first_ms={statistics.median(firsts):.1f} p99={percentile(firsts):.1f} "
        f"event_lag_ms p50={statistics.median(lags):.1f} p99={percentile(lags):.1f} clients={CLIENTS} "
        f"rss_mb={server.memory_info().rss / 2**20:.0f} cpu_s={cpu_s:.1f} calibration_ms={calibration():.1f}"
    )


def percentile(values: list[float]) -> float:
    """The 99th."""
    return statistics.quantiles(values, n=100)[98]


def main() -> None:
    """Measure on a control plane that is started for it."""
    home, port = Home(Path(tempfile.mkdtemp(prefix="migctl-bench-"))), free_port()
    os.environ["MIGCTL_HOME"] = str(home.path)
    pid = daemon.start(home, "a100-40gb=4", detach=True, listen=ListenOptions(f"127.0.0.1:{port}"))
    try:
        asyncio.run(measured(home, port, psutil.Process(pid)))
    finally:
        daemon.stop(home)


if __name__ == "__main__":
    main()
