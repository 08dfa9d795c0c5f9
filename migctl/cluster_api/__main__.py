"""`python -m migctl.cluster_api`: the REST API of a cluster, as a pod or outside of it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

import structlog

from migctl.backends.kubernetes.client.transport import ClusterAccess, Transport, from_kubeconfig, in_cluster
from migctl.backends.protocol import ControlPlaneError
from migctl.clock import system_clock
from migctl.cluster_api.process import ClusterApiSettings, cluster_service
from migctl.cluster_api.serving import Endpoints, run
from migctl.garbage_collection import collect_rarely


def arguments(argv: list[str]) -> argparse.Namespace:
    """The options of a command line."""
    parser = argparse.ArgumentParser("python -m migctl.cluster_api", description="Serves the REST API of a cluster.")
    parser.add_argument("--kubeconfig", help="outside of a cluster: how to reach it")
    parser.add_argument("--context", help="a context of the kubeconfig")
    parser.add_argument("--cluster-name", default="cluster", help="the cluster's name, for people")
    parser.add_argument(
        "--audience", action="append", default=[], help="what tokens must be for; none: for the API server"
    )
    parser.add_argument("--host", default="0.0.0.0", help="where the API, /healthz and /readyz are served")
    parser.add_argument("--port", type=int, default=8443, help="of the API")
    parser.add_argument("--health-port", type=int, default=8080, help="of /healthz and /readyz, without TLS")
    parser.add_argument(
        "--tls-dir", type=Path, help="folder with tls.crt and tls.key; without them the API is served without TLS"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser.parse_args(argv)


async def access(options: argparse.Namespace) -> ClusterAccess:
    """By the kubeconfig where one is named or outside of a cluster, else by the service account."""
    if options.kubeconfig or options.context or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return await from_kubeconfig(options.kubeconfig, options.context)
    return in_cluster()


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT. Raises ControlPlaneError where the cluster cannot be reached at all, OSError."""
    settings = ClusterApiSettings(options.cluster_name, tuple(options.audience))
    endpoints = Endpoints(options.host, options.port, options.health_port, options.tls_dir)
    async with (
        Transport(await access(options)) as transport,
        cluster_service(transport, system_clock, settings) as service,
    ):
        await run(service, endpoints)


def main() -> int:
    """The exit status: 0 after SIGTERM or SIGINT, 1 where the cluster cannot be reached or a port is taken."""
    options = arguments(sys.argv[1:])
    level = getattr(logging, options.log_level.upper())
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    collect_rarely()
    try:
        asyncio.run(serve(options))
    except (ControlPlaneError, OSError) as error:
        hint = f"\nhint: {error.hint}" if isinstance(error, ControlPlaneError) and error.hint else ""
        sys.stderr.write(f"error: {error}{hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
