"""Which control plane a command is about.

"local" is this machine's own, run by `migctl up`; other names are servers that `migctl login --server` keeps, and
contexts of the kubeconfig. A context that
is called "local", too, is meant by "kube/local".

What is chosen counts: --context, MIGCTL_CONTEXT, `migctl context use`. Where nothing is chosen: this machine's own
while it runs, otherwise the kubeconfig's current context, otherwise the cluster whose pod this is.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from migctl.cli.contexts import kubeconfig, servers
from migctl.cli.failures import ExitCode, Failure, not_found

if TYPE_CHECKING:
    from migctl.cli.contexts.servers import ServerEntry

LOCAL = "local"
IN_CLUSTER = "in-cluster"
KUBE = "kube/"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

TO_CHOOSE = "migctl context use NAME chooses one; migctl context list shows them"


@dataclass(frozen=True)
class Context:
    """A control plane.

    chosen      somebody chose it; False: it is the default
    context     what the kubeconfig calls it, "" for this machine's own and for the cluster of this pod
    kubeconfig  the files it is in; namespace: what its context names
    server      the server of `migctl login --server`, None for all others
    """

    name: str
    chosen: bool
    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""
    server: ServerEntry | None = None

    @property
    def cluster(self) -> bool:
        """Whether it is a cluster's, not that of one machine."""
        return self.name != LOCAL and self.server is None

    @property
    def elsewhere(self) -> bool:
        """Whether it is not this machine's own."""
        return self.name != LOCAL

    @property
    def own_namespace(self) -> str | None:
        """The context's namespace, where it names one of its own."""
        return self.namespace if self.namespace not in ("", "default") else None


def locate(environ: Mapping[str, str], socket_path: Path, chosen: str | None, clusters_only: bool = False) -> Context:
    """The chosen control plane, or the default one. Raises Failure where there is none.

    clusters_only  as kubectl's plugin: this machine's own does not count
    """
    if chosen == LOCAL and not clusters_only:
        return Context(LOCAL, chosen=True)
    if chosen is None and not clusters_only and answers(socket_path):
        return Context(LOCAL, chosen=False)
    if chosen is not None and not clusters_only and (server := servers.load(environ).get(chosen)) is not None:
        return Context(chosen, chosen=True, server=server)
    config = kubeconfig.read(environ)
    if chosen == IN_CLUSTER and in_pod(environ):
        return Context(IN_CLUSTER, chosen=True)
    if chosen is not None:
        others = () if clusters_only else servers.load(environ)
        return _named(config, chosen.removeprefix(KUBE), chosen=True, known_servers=others)
    if config.current:
        return _named(config, config.current, chosen=False)
    if in_pod(environ):
        return Context(IN_CLUSTER, chosen=False)
    raise _nowhere(config, clusters_only)


def _named(config: kubeconfig.Kubeconfig, name: str, *, chosen: bool, known_servers: Iterable[str] = ()) -> Context:
    found = config.contexts.get(name)
    if found is None:
        known = ", ".join((LOCAL, *map(called, sorted(config.contexts)), *sorted(known_servers)))
        raise not_found(f"no context is called {name!r}", hint=f"contexts: {known}")
    return Context(called(name), chosen, name, config.paths, found.namespace)


def called(context: str) -> str:
    """What a context of the kubeconfig is called here."""
    return KUBE + context if context in (LOCAL, IN_CLUSTER) else context


def _nowhere(config: kubeconfig.Kubeconfig, clusters_only: bool) -> Failure:
    if config.contexts:
        return Failure(
            "no context is chosen, and the kubeconfig has no current one",
            hint=f"--context NAME; contexts: {', '.join(sorted(config.contexts))}",
            code=ExitCode.USAGE,
        )
    kube = "set KUBECONFIG to use a cluster"
    if clusters_only:
        return Failure("no kubeconfig names a cluster", hint=kube)
    return Failure(
        "there is no control plane to talk to",
        cause="migctl is not running on this machine, and no kubeconfig names a cluster",
        hint=f"migctl up --detach shares this machine's GPUs; {kube}",
    )


def in_pod(environ: Mapping[str, str]) -> bool:
    """Whether this process runs in a pod with a service account."""
    return "KUBERNETES_SERVICE_HOST" in environ and SERVICE_ACCOUNT.exists()


def answers(socket_path: Path) -> bool:
    """Whether somebody listens: a socket that a killed control plane left behind does not count."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(os.fspath(socket_path))
    except PermissionError:
        return True
    except OSError:
        return False
    return True
