"""Where the API server is and with which credentials it is called; how a pod finds out."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class NoApiAccess(Exception):
    """The API server or the credentials for it are unknown. The text says what is missing."""


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """An API server and the credentials for it.

    trust          for TLS; False: the certificate is not checked
    authorization  the header's value, read at every request: tokens are rotated
    server_name    what the server's certificate must name, where that is not the host of `url`
    """

    url: str
    trust: ssl.SSLContext | bool
    authorization: Callable[[], str | None]
    server_name: str | None = None


def in_cluster(account: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] = os.environ) -> ApiAccess:
    """The access of a pod. Raises NoApiAccess outside of one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise NoApiAccess("this is no pod of a cluster (KUBERNETES_SERVICE_HOST is not set): give --kubeconfig")
    try:
        trust = ssl.create_default_context(cafile=str(account / "ca.crt"))
        (account / "token").read_bytes()
    except OSError as e:
        raise NoApiAccess(f"the pod has no service account token: {e}; set automountServiceAccountToken: true") from e
    return ApiAccess(
        url=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        trust=trust,
        authorization=lambda: "Bearer " + (account / "token").read_text(encoding="ascii").strip(),
    )
