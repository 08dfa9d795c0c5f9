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

from migctl.backends.kubernetes.client.api import Api
from migctl.backends.kubernetes.client.transport import Access, Transport, from_kubeconfig, in_cluster
from migctl.backends.protocol import ControlPlaneError
from migctl.clock import system_clock
from migctl.controller.kubernetes import prerequisites, probes
from migctl.controller.kubernetes.process import KubernetesController, Settings
from migctl.solver_process.planning import plan

log = structlog.get_logger()


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m migctl.controller", description="Places GPU requests of a cluster.")
    parser.add_argument("--kubeconfig", help="outside of a cluster: how to reach it")
    parser.add_argument("--context", help="a context of the kubeconfig")
    parser.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "migctl-system"))
    parser.add_argument("--identity", default=os.environ.get("POD_NAME", socket.gethostname()))
    parser.add_argument("--host", default="0.0.0.0", help="where /healthz, /readyz and /metrics are served")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser.parse_args(words)


async def access(asked: argparse.Namespace) -> Access:
    if asked.kubeconfig or asked.context or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return await from_kubeconfig(asked.kubeconfig, asked.context)
    return in_cluster()


async def control(asked: argparse.Namespace) -> None:
    """Run until told to stop. Raises ControlPlaneError where the cluster cannot be reached at all."""
    async with Transport(await access(asked)) as transport:
        api = Api(transport)
        for missing in await prerequisites.lacks(api):
            log.error("the cluster lacks something", what=missing)
        settings = Settings(namespace=asked.namespace, identity=f"{asked.identity}-{os.getpid()}")
        controller = KubernetesController(api, system_clock, plan, settings)
        async with probes.serving(controller, asked.host, asked.port) as port:
            log.info("controller started", identity=settings.identity, port=port)
            await _until_told(controller)


async def _until_told(controller: KubernetesController) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    working = asyncio.ensure_future(controller.run())
    waiting = asyncio.ensure_future(told.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        working.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


def main() -> int:
    asked = arguments(sys.argv[1:])
    level = getattr(logging, asked.log_level.upper())
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        asyncio.run(control(asked))
    except (ControlPlaneError, OSError) as error:
        hint = f"\nhint: {error.hint}" if isinstance(error, ControlPlaneError) and error.hint else ""
        sys.stderr.write(f"error: {error}{hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
