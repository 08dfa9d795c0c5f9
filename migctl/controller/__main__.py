"""The controller of a Kubernetes cluster, as a process: `python -m migctl.controller`.

Any number may run; one leads. It ends on SIGTERM and gives its lease back.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys

import structlog

from migctl import cluster_process
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.transport import Transport
from migctl.clock import system_clock
from migctl.controller.kubernetes import prerequisites, probes
from migctl.controller.kubernetes.process import ControllerSettings, KubernetesController
from migctl.solver_process.planning import plan

log = structlog.get_logger()


def arguments(argv: list[str]) -> argparse.Namespace:
    """The options of a command line."""
    parser = argparse.ArgumentParser("python -m migctl.controller", description="Places GPU requests of a cluster.")
    cluster_process.add_options(parser)
    parser.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "migctl-system"))
    parser.add_argument("--identity", default=os.environ.get("POD_NAME", socket.gethostname()))
    parser.add_argument("--host", default="0.0.0.0", help="where /healthz, /readyz and /metrics are served")
    parser.add_argument("--port", type=int, default=8080)
    return parser.parse_args(argv)


async def control(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT. Raises ControlPlaneError where the cluster cannot be reached at all."""
    async with Transport(await cluster_process.access(options)) as transport:
        api = KubernetesApi(transport)
        for missing in await prerequisites.lacks(api):
            log.error("the cluster lacks something", what=missing)
        settings = ControllerSettings(namespace=options.namespace, identity=f"{options.identity}-{os.getpid()}")
        controller = KubernetesController(api, system_clock, plan, settings)
        async with probes.serving(controller, options.host, options.port) as port:
            log.info("controller started", identity=settings.identity, port=port)
            await _until_signalled(controller)


async def _until_signalled(controller: KubernetesController) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    working = asyncio.ensure_future(controller.run())
    waiting = asyncio.ensure_future(stop.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        working.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


def main() -> int:
    """The exit status, see cluster_process.run."""
    options = arguments(sys.argv[1:])
    return cluster_process.run(control(options), options.log_level)


if __name__ == "__main__":
    sys.exit(main())
