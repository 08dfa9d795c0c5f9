"""The node agent as a process: `python -m nodeagent`. It ends on SIGTERM; workloads on the GPUs go on."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from nodeagent.contract.allocation import AgentError
from nodeagent.daemon import AgentSettings, DriverChanged, SocketsRemoved, run
from nodeagent.dra.sockets import CannotServe
from nodeagent.kubernetes.access import ApiAccess, NoApiAccess, in_cluster
from nodeagent.nvml import LibraryMissing, NvmlError
from nodeagent.simulated_nvml.spec import BadSpec
from nodeagent.simulated_nvml.state import DamagedState
from nodeagent.upkeep.watchdog import WatchdogPolicy


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        "migctl-agent", description="Cuts and frees the GPUs of a Kubernetes node, as the DRA driver gpu.migctl.dev."
    )
    parser.add_argument(
        "--node-name",
        default=os.environ.get("NODE_NAME") or socket.gethostname(),
        help="the node's name in the cluster (NODE_NAME, else the host's name)",
    )
    parser.add_argument("--kubeconfig", type=Path, help="outside of a pod: how to reach the cluster")
    parser.add_argument("--context", help="a context of the kubeconfig")
    parser.add_argument("--state-dir", type=Path, default=Path("/var/lib/migctl"), help="what must outlive the agent")
    parser.add_argument("--kubelet-root", type=Path, default=Path("/var/lib/kubelet"), help="the kubelet's --root-dir")
    parser.add_argument("--cdi-dir", type=Path, default=Path("/var/run/cdi"), help="where the runtime looks for CDI")
    parser.add_argument(
        "--host-root", type=Path, default=Path("/"), help="in a container: where the host's / is mounted"
    )
    parser.add_argument("--simulate", metavar="GPUS", help="simulate GPUs, for example a100-40gb=2,v100=1")
    parser.add_argument("--watchdog", type=WatchdogPolicy, choices=list(WatchdogPolicy), default=WatchdogPolicy.REPORT)
    parser.add_argument("--host", default="0.0.0.0", help="where /healthz, /readyz and /metrics are served")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser.parse_args(argv)


def access(options: argparse.Namespace) -> ApiAccess:
    """Raises NoApiAccess."""
    if options.kubeconfig:
        from nodeagent.kubernetes.kubeconfig import from_kubeconfig  # a pod needs none

        return from_kubeconfig(options.kubeconfig, options.context)
    return in_cluster()


def settings(options: argparse.Namespace) -> AgentSettings:
    """Raises NoApiAccess."""
    return AgentSettings(
        node=options.node_name,
        access=access(options),
        state_dir=options.state_dir.absolute(),
        kubelet_root=options.kubelet_root.absolute(),
        cdi_dir=options.cdi_dir.absolute(),
        host_root=options.host_root,
        simulate=options.simulate,
        watchdog=options.watchdog,
        host=options.host,
        port=options.port,
    )


def main() -> int:
    options = arguments(sys.argv[1:])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, options.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(settings(options), stop)
    except LibraryMissing as e:
        return _fail(f"no NVIDIA driver: {e}; to try it without one: --simulate a100-40gb=1")
    except NvmlError as e:
        return _fail(f"the NVIDIA driver does not answer: {e}; look at nvidia-smi and dmesg")
    except (NoApiAccess, AgentError, BadSpec, DamagedState, CannotServe, SocketsRemoved, DriverChanged, OSError) as e:
        return _fail(str(e))
    return 0


def _fail(text: str) -> int:
    sys.stderr.write(f"error: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
