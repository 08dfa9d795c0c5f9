"""The names in a kubeconfig: contexts, their clusters and namespaces, and which is the current one.

Connecting is the client library's business; it takes most of a second to import, which listing names need not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct, field

from migctl.cli.failures import Failure


class _Context(Struct, frozen=True):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _Named(Struct, frozen=True):
    name: str
    context: _Context = _Context()


class _File(Struct, frozen=True):
    contexts: list[_Named] | None = None
    current: str | None = field(name="current-context", default=None)


@dataclass(frozen=True)
class KubeContext:
    """A context: the cluster it is of, the user it is for, and its namespace ("" where it names none)."""

    name: str
    cluster: str
    user: str
    namespace: str


@dataclass(frozen=True)
class Kubeconfig:
    """What $KUBECONFIG (or ~/.kube/config) says; of a name that several files have, the first counts, as kubectl does.

    paths  as the client library takes them: the files that are there, joined as in $KUBECONFIG
    """

    paths: str
    contexts: Mapping[str, KubeContext]
    current: str


def read(environ: Mapping[str, str]) -> Kubeconfig:
    """Raises Failure where a file cannot be read."""
    chosen = environ.get("KUBECONFIG") or os.path.join(environ.get("HOME", "~"), ".kube", "config")
    paths = [Path(text).expanduser() for text in chosen.split(os.pathsep) if text]
    there = [path for path in paths if path.exists()]
    contexts: dict[str, KubeContext] = {}
    current = ""
    for path in there:
        file = _decoded(path)
        for named in file.contexts or ():
            own = named.context
            contexts.setdefault(named.name, KubeContext(named.name, own.cluster, own.user, own.namespace))
        current = current or file.current or ""
    return Kubeconfig(os.pathsep.join(map(str, there)), contexts, current)


def _decoded(path: Path) -> _File:
    try:
        return msgspec.yaml.decode(path.read_bytes() or b"{}", type=_File)
    except (OSError, ValueError) as error:
        raise Failure(
            f"the kubeconfig {path} cannot be read", cause=str(error), hint="correct it, or set KUBECONFIG"
        ) from error
