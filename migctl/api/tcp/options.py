"""What `migctl up` is told of TCP."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Where to listen, HOST:PORT, and the files of a certificate and its key: both or none."""

    listen: str
    tls_cert: str = ""
    tls_key: str = ""
