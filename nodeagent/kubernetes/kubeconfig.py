"""The access that a kubeconfig gives, as kubectl has it, without a client library: one doubles the agent's memory.

A user is a token, a file with one, a client certificate or a command that prints a token. What Kubernetes itself
no longer accepts (passwords, built-in providers of clouds) is refused.
"""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from nodeagent.contract import kubeconfig
from nodeagent.contract.kubeconfig import KubeconfigFile
from nodeagent.kubernetes.access import ApiAccess, NoApiAccess
from nodeagent.kubernetes.credential_command import CommandTokens, CredentialCommand

T = TypeVar("T")


class ClusterFields(Struct, rename="kebab"):
    """`cluster` of an entry of `clusters`."""

    server: str
    certificate_authority: str | None = None
    certificate_authority_data: bytes | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None


class UserFields(Struct, rename="kebab"):
    """`user` of an entry of `users`."""

    token: str | None = None
    token_file: str | None = field(name="tokenFile", default=None)
    client_certificate: str | None = None
    client_certificate_data: bytes | None = None
    client_key: str | None = None
    client_key_data: bytes | None = None
    command: CredentialCommand | None = field(name="exec", default=None)
    username: str | None = None
    provider: dict[str, object] | None = field(name="auth-provider", default=None)


def from_kubeconfig(path: Path, context: str | None = None) -> ApiAccess:
    """The access that kubectl would have. Raises NoApiAccess."""
    try:
        file = kubeconfig.read(path)
        return _access(file, context or file.current, path.parent)
    except (NoApiAccess, OSError, ValueError) as e:  # msgspec, ssl and yaml raise ValueErrors
        raise NoApiAccess(f"cannot use the kubeconfig {path}: {e}") from e


def _access(file: KubeconfigFile, context: str, folder: Path) -> ApiAccess:
    """Relative paths start at `folder`. Raises NoApiAccess, OSError, ValueError."""
    if not context:
        raise NoApiAccess("it has no current-context: give --context")
    chosen = _named("context", context, file.contexts)
    cluster = msgspec.convert(_named("cluster", chosen.cluster, file.clusters), ClusterFields)
    user = msgspec.convert(_named("user", chosen.user, file.users) if chosen.user else {}, UserFields)
    return ApiAccess(
        url=cluster.server.rstrip("/"),
        trust=_trust(cluster, user, folder),
        authorization=_authorization(user, folder),
        server_name=cluster.tls_server_name,
    )


def _named(kind: str, name: str, entries: Mapping[str, T]) -> T:
    if name not in entries:
        raise NoApiAccess(f"it has no {kind} named {name!r}")
    return entries[name]


def _trust(cluster: ClusterFields, user: UserFields, folder: Path) -> ssl.SSLContext:
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
    """OpenSSL reads certificates from files only: data are in a file of ours, 0600, for as long as that takes."""
    if data is None:
        yield None if path is None else folder / path
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _authorization(user: UserFields, folder: Path) -> Callable[[], str | None]:
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
        raise NoApiAccess(
            "its user has a password or an auth-provider, which Kubernetes no longer accepts: use a token"
        )
    return lambda: None
