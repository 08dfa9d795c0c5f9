"""The controller of a Kubernetes cluster, as a process: `python -m migctl.controller`.

Any number may run; one leads. It ends on SIGTERM and gives its lease back.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys

import structlog

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.transport import ClusterAccess, Transport, from_kubeconfig, in_cluster
from migctl.backends.protocol import ControlPlaneError
from migctl.clock import system_clock
from migctl.controller.kubernetes import prerequisites, probes
from migctl.controller.kubernetes.process import ControllerSettings, KubernetesController
from migctl.garbage_collection import collect_rarely
from migctl.solver_process.planning import plan

log = structlog.get_logger()


def arguments(argv: list[str]) -> argparse.Namespace:
    """The options of a command line."""
    parser = argparse.ArgumentParser("python -m migctl.controller", description="Places GPU requests of a cluster.")
    parser.add_argument("--kubeconfig", help="outside of a cluster: how to reach it")
    parser.add_argument("--context", help="a context of the kubeconfig")
    parser.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "migctl-system"))
    parser.add_argument("--identity", default=os.environ.get("POD_NAME", socket.gethostname()))
    parser.add_argument("--host", default="0.0.0.0", help="where /healthz, /readyz and /metrics are served")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser.parse_args(argv)


async def access(options: argparse.Namespace) -> ClusterAccess:
    """By the kubeconfig where one is named or outside of a cluster, else by the service account."""
    if options.kubeconfig or options.context or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return await from_kubeconfig(options.kubeconfig, options.context)
    return in_cluster()


async def control(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT. Raises ControlPlaneError where the cluster cannot be reached at all."""
    async with Transport(await access(options)) as transport:
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
    """The exit status: 0 after SIGTERM or SIGINT, 1 where the cluster cannot be reached."""
    options = arguments(sys.argv[1:])
    level = getattr(logging, options.log_level.upper())
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    collect_rarely()
    try:
        asyncio.run(control(options))
    except (ControlPlaneError, OSError) as error:
        hint = f"\nhint: {error.hint}" if isinstance(error, ControlPlaneError) and error.hint else ""
        sys.stderr.write(f"error: {error}{hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
