"""`python -m migctl.cluster_api`: the REST API of a cluster, as a pod or outside of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from migctl import cluster_process
from migctl.backends.kubernetes.client.transport import Transport
from migctl.clock import system_clock
from migctl.cluster_api.process import ClusterApiSettings, cluster_service
from migctl.cluster_api.serving import Endpoints, run


def arguments(argv: list[str]) -> argparse.Namespace:
    """The options of a command line."""
    parser = argparse.ArgumentParser("python -m migctl.cluster_api", description="Serves the REST API of a cluster.")
    cluster_process.add_options(parser)
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
    return parser.parse_args(argv)


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT. Raises ControlPlaneError where the cluster cannot be reached at all, OSError."""
    settings = ClusterApiSettings(options.cluster_name, tuple(options.audience))
    endpoints = Endpoints(options.host, options.port, options.health_port, options.tls_dir)
    async with (
        Transport(await cluster_process.access(options)) as transport,
        cluster_service(transport, system_clock, settings) as service,
    ):
        await run(service, endpoints)


def main() -> int:
    """The exit status, see cluster_process.run."""
    options = arguments(sys.argv[1:])
    return cluster_process.run(serve(options), options.log_level)


if __name__ == "__main__":
    sys.exit(main())
