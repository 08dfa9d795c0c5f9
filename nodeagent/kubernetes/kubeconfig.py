"""The access that a kubeconfig gives, as kubectl reads it, without a client library: that weighs half an agent.

A user is a token, a file with one, a client certificate or a command that prints a token. What Kubernetes
itself no longer takes (passwords, built-in providers of clouds) is refused.
"""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from nodeagent.kubernetes.access import ApiAccess, NoApiAccess
from nodeagent.kubernetes.credential_command import CommandTokens, CredentialCommand


class ClusterEntry(Struct, rename="kebab"):
    server: str
    certificate_authority: str | None = None
    certificate_authority_data: bytes | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None


class UserEntry(Struct, rename="kebab"):
    token: str | None = None
    token_file: str | None = field(name="tokenFile", default=None)
    client_certificate: str | None = None
    client_certificate_data: bytes | None = None
    client_key: str | None = None
    client_key_data: bytes | None = None
    command: CredentialCommand | None = field(name="exec", default=None)
    username: str | None = None
    provider: dict[str, object] | None = field(name="auth-provider", default=None)


class ContextEntry(Struct):
    cluster: str
    user: str = ""


class NamedCluster(Struct):
    name: str
    cluster: ClusterEntry


class NamedUser(Struct):
    name: str
    user: UserEntry


class NamedContext(Struct):
    name: str
    context: ContextEntry


class Kubeconfig(Struct):
    clusters: list[NamedCluster] = []
    users: list[NamedUser] = []
    contexts: list[NamedContext] = []
    current: str = field(name="current-context", default="")


Named = TypeVar("Named", NamedCluster, NamedUser, NamedContext)


def from_kubeconfig(path: Path, context: str | None = None) -> ApiAccess:
    """The access that kubectl would have. Raises NoApiAccess."""
    try:
        config = msgspec.yaml.decode(path.read_bytes(), type=Kubeconfig)
        return _access(config, context or config.current, path.parent)
    except (
        NoApiAccess,
        OSError,
        ValueError,
    ) as e:  # msgspec's, ssl's and yaml's errors about what is in it are ValueErrors
        raise NoApiAccess(f"cannot use the kubeconfig {path}: {e}") from e


def _access(config: Kubeconfig, context: str, folder: Path) -> ApiAccess:
    """Relative paths start at `folder`. Raises NoApiAccess, OSError, ValueError."""
    if not context:
        raise NoApiAccess("it has no current-context: give --context")
    chosen = _named("context", context, config.contexts).context
    cluster = _named("cluster", chosen.cluster, config.clusters).cluster
    user = _named("user", chosen.user, config.users).user if chosen.user else UserEntry()
    return ApiAccess(
        url=cluster.server.rstrip("/"),
        trust=_trust(cluster, user, folder),
        authorization=_authorization(user, folder),
        server_name=cluster.tls_server_name,
    )


def _named(kind: str, name: str, entries: Sequence[Named]) -> Named:
    for entry in entries:
        if entry.name == name:
            return entry
    raise NoApiAccess(f"it has no {kind} named {name!r}")


def _trust(cluster: ClusterEntry, user: UserEntry, folder: Path) -> ssl.SSLContext:
    authority = cluster.certificate_authority
    trust = ssl.create_default_context(
        cafile=str(folder / authority) if authority and not cluster.certificate_authority_data else None,
        cadata=cluster.certificate_authority_data.decode("ascii") if cluster.certificate_authority_data else None,
    )
    if cluster.insecure_skip_tls_verify:
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
    with contextlib.ExitStack() as stack:
        certificate = stack.enter_context(_as_file(user.client_certificate_data, user.client_certificate, folder))
        key = stack.enter_context(_as_file(user.client_key_data, user.client_key, folder))
        if certificate is not None:
            trust.load_cert_chain(certificate, key)
    return trust


@contextlib.contextmanager
def _as_file(data: bytes | None, path: str | None, folder: Path) -> Iterator[Path | None]:
    """OpenSSL reads certificates from files only: for as long as that takes, data are in one that only we can read."""
    if data is None:
        yield None if path is None else folder / path
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _authorization(user: UserEntry, folder: Path) -> Callable[[], str | None]:
    if user.command is not None:
        tokens = CommandTokens(user.command, folder)
        return lambda: f"Bearer {tokens.token()}"
    if user.token:
        bearer = f"Bearer {user.token}"
        return lambda: bearer
    if user.token_file:
        file = folder / user.token_file
        return lambda: f"Bearer {file.read_text(encoding='ascii').strip()}"
    if user.username or user.provider:
        raise NoApiAccess("its user has a password or an auth-provider, which Kubernetes no longer takes: use a token")
    return lambda: None
