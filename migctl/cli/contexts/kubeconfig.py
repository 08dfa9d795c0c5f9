"""The kubeconfigs that a command reads: their contexts, and which is the current one.

Connecting is the client library's business; it takes most of a second to import, which listing contexts need not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migctl.cli.failures import Failure
from nodeagent.contract import kubeconfig
from nodeagent.contract.kubeconfig import KubeconfigFile, KubeContext


@dataclass(frozen=True)
class Kubeconfig:
    """What $KUBECONFIG (or ~/.kube/config) says; of a name in several files the first counts, as kubectl has it.

    paths  as the client library takes them: the files that exist, joined as in $KUBECONFIG
    """

    paths: str
    contexts: Mapping[str, KubeContext]
    current: str


def read(environ: Mapping[str, str]) -> Kubeconfig:
    """Raises Failure where a file cannot be read."""
    chosen = environ.get("KUBECONFIG") or os.path.join(environ.get("HOME", "~"), ".kube", "config")
    paths = [path for text in chosen.split(os.pathsep) if text and (path := Path(text).expanduser()).exists()]
    files = [_read(path) for path in paths]
    contexts = {name: context for file in reversed(files) for name, context in file.contexts.items()}
    current = next((file.current for file in files if file.current), "")
    return Kubeconfig(os.pathsep.join(map(str, paths)), contexts, current)


def _read(path: Path) -> KubeconfigFile:
    try:
        return kubeconfig.read(path)
    except (OSError, ValueError) as error:
        raise Failure(
            f"the kubeconfig {path} cannot be read", cause=str(error), hint="correct it, or set KUBECONFIG"
        ) from error
