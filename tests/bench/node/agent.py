"""`make bench-agent`: what a Kubernetes node's agent weighs and uses while nothing happens.

The process as it runs on a node, with its driver's sockets, its API server and its probes, over 8 GPUs with
7 instances each, all held. idle_cpu_percent is of one core, the simulated driver's own work included.
"""

from __future__ import annotations

import time

import psutil

from tests.nodeagent.dra.harness.agent_process import AgentProcess
from tests.nodeagent.dra.harness.api_server import ApiServer, until
from tests.nodeagent.machines import mig

NODE = "bench"
SETTLE_S = 10.0
IDLE_S = 60.0


def fill(agent: AgentProcess, api: ApiServer) -> None:
    """Seven instances on every GPU, each with a claim."""
    count = 0
    for gpu in agent.hardware():
        for start in range(7):
            name = f"claim-{count}"
            uid = api.allocate(name, NODE, [mig(gpu["uuid"], "1g.5gb", start)])
            error = agent.kubelet.prepare(name, uid).error
            assert not error, error
            count += 1
    until(lambda: len(agent.held()) == count)


def used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    with ApiServer() as api:
        agent = AgentProcess(api, NODE, "a100-40gb=8")
        try:
            agent.start()
            fill(agent, api)
            agent.probe("/metrics")
            time.sleep(SETTLE_S)
            process = psutil.Process(agent.pid)
            before, began = used_s(process), time.monotonic()
            time.sleep(IDLE_S)
            percent = 100 * (used_s(process) - before) / (time.monotonic() - began)
            print(f"BENCH agent rss_mb={process.memory_info().rss / 1e6:.1f} idle_cpu_percent={percent:.2f}")
        finally:
            agent.end()


if __name__ == "__main__":
    main()
