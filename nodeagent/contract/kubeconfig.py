"""A kubeconfig file: its contexts, clusters and users, by name.

Here because control plane and node agent read the same files, and neither may import the other. The file alone:
credentials and connections are each side's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field


@dataclass(frozen=True, slots=True)
class KubeContext:
    """A context: its cluster, its user and its namespace; "" where it names none."""

    name: str
    cluster: str
    user: str
    namespace: str


@dataclass(frozen=True, slots=True)
class KubeconfigFile:
    """A file's entries by name; of two with the same name the first counts, as kubectl has it.

    clusters, users  their fields as in the file
    current          the current context, "" where there is none
    """

    contexts: Mapping[str, KubeContext]
    clusters: Mapping[str, Mapping[str, Any]]
    users: Mapping[str, Mapping[str, Any]]
    current: str


class _ContextFields(Struct, frozen=True):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _ContextEntry(Struct, frozen=True):
    name: str
    context: _ContextFields = _ContextFields()


class _ClusterEntry(Struct, frozen=True):
    name: str
    cluster: dict[str, Any] | None = None


class _UserEntry(Struct, frozen=True):
    name: str
    user: dict[str, Any] | None = None


class _File(Struct, frozen=True):
    contexts: list[_ContextEntry] | None = None
    clusters: list[_ClusterEntry] | None = None
    users: list[_UserEntry] | None = None
    current: str | None = field(name="current-context", default=None)


def read(path: Path) -> KubeconfigFile:
    """Raises OSError, and ValueError, of one line, where the file is no kubeconfig."""
    try:
        file = msgspec.yaml.decode(path.read_bytes() or b"{}", type=_File)
    except ValueError as error:
        raise ValueError(" ".join(str(error).split())) from None
    named = {entry.name: entry.context for entry in reversed(file.contexts or ())}
    return KubeconfigFile(
        contexts={name: KubeContext(name, c.cluster, c.user, c.namespace) for name, c in named.items()},
        clusters={entry.name: entry.cluster or {} for entry in reversed(file.clusters or ())},
        users={entry.name: entry.user or {} for entry in reversed(file.users or ())},
        current=file.current or "",
    )
