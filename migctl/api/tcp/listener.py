"""Where the API listens on TCP, and with which certificate."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from migctl.api.tcp import certificates
from migctl.api.tcp.options import ListenOptions
from migctl.backends.protocol import Conflict, Invalid

HINT = "for example --listen 127.0.0.1:8443"
BACKLOG = 128


@dataclass(frozen=True)
class Listener:
    """A bound socket, and what clients need to know.

    tls          None: not encrypted
    fingerprint  of the certificate, "" without one
    """

    socket: socket.socket
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    fingerprint: str = ""

    @property
    def url(self) -> str:
        """Where clients find it."""
        everywhere = self.host in ("0.0.0.0", "::")
        host = socket.gethostname() if everywhere else f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def told(self) -> str:
        """What is said of it at the start."""
        of = f"; fingerprint of its certificate (SHA-256): {self.fingerprint}" if self.fingerprint else ""
        return f"migctl listens at {self.url}{of}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)


def bound(options: ListenOptions, folder: Path, now: datetime) -> Listener:
    """Listen. Beyond loopback only with TLS: with the certificate that is given, else with one of our own in `folder`.

    Raises Invalid (an address or a certificate that is none), Conflict (somebody listens there), OSError.
    """
    host, port = address(options.listen)
    tls, print_ = _tls(options, folder, host, now)
    found = _resolved(host, port)
    listener = socket.socket(found[0], socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[1])
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"another program listens at {options.listen}", hint="choose another port, or stop that program"
            ) from None
        raise Invalid(f"cannot listen at {options.listen}: {error.strerror}", hint=HINT) from None
    return Listener(listener, host, listener.getsockname()[1], tls, print_)


def address(listen: str) -> tuple[str, int]:
    """Host and port of HOST:PORT. Raises Invalid."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})", listen, re.ASCII)
    if match is None or int(match[3]) > 65535:
        raise Invalid(f"{listen!r} is no address to listen at: give HOST:PORT", hint=HINT)
    return match[1] or match[2], int(match[3])


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, for itself alone."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _resolved(host: str, port: int) -> tuple[int, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Invalid(f"{host!r} is no address of this machine: {error.strerror or error}", hint=HINT) from None
    return found[0][0], found[0][4]


def _tls(options: ListenOptions, folder: Path, host: str, now: datetime) -> tuple[ssl.SSLContext | None, str]:
    if bool(options.tls_cert) != bool(options.tls_key):
        raise Invalid("--tls-cert and --tls-key belong together", hint="give both, or none of them")
    if options.tls_cert:
        certificate, key = Path(options.tls_cert), Path(options.tls_key)
    elif is_loopback(host):
        return None, ""
    else:
        certificate, key = certificates.self_signed(folder, host, now)
    fingerprint = certificates.fingerprint(certificate)
    return tls_context(certificate, key), fingerprint


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Serving with a certificate. Raises Invalid where the files are none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, certificate, key)
    return context


def load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Serve new connections with the certificate that is in the files now. Raises Invalid where it is none."""
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise Invalid(
            f"{certificate} and {key} are not a certificate and its key: {error}",
            hint="PEM files are needed, the key without a password",
        ) from None
