"""What the processes of a cluster have in common: options, how they reach it, their log, their exit status."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Coroutine

import structlog

from migctl.backends.kubernetes.client.transport import ClusterAccess, from_kubeconfig, in_cluster
from migctl.backends.protocol import ControlPlaneError
from migctl.garbage_collection import collect_rarely


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add how to reach the cluster, and how much is logged."""
    parser.add_argument("--kubeconfig", help="outside of a cluster: how to reach it")
    parser.add_argument("--context", help="a context of the kubeconfig")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))


async def access(options: argparse.Namespace) -> ClusterAccess:
    """By the kubeconfig where one is named or outside of a cluster, else by the service account."""
    if options.kubeconfig or options.context or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return await from_kubeconfig(options.kubeconfig, options.context)
    return in_cluster()


def run(process: Coroutine[None, None, None], log_level: str) -> int:
    """The exit status: 0 where the process ended, 1 where the cluster cannot be reached or a port is taken."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    collect_rarely()
    try:
        asyncio.run(process)
    except (ControlPlaneError, OSError) as error:
        hint = f"\nhint: {error.hint}" if isinstance(error, ControlPlaneError) and error.hint else ""
        sys.stderr.write(f"error: {error}{hint}\n")
        return 1
    return 0
