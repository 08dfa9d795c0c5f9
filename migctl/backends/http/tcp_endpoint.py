"""A control plane on TCP: its certificate is checked, and we sign in with a token that is renewed."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from migctl.backends.http.connection import exchange
from migctl.backends.http.endpoints import Connection
from migctl.backends.protocol import ControlPlaneError, Invalid, Unauthenticated, Unavailable

CONNECT_S = 15.0
EARLY_S = 60.0
"""A token is renewed this long before it expires."""


@dataclass(frozen=True)
class ServerLogin:
    """How we sign in to a server.

    url          https://HOST:PORT, or http:// to this machine itself
    fingerprint  SHA-256 of its certificate, kept at the login; "": an authority of this system vouches for it
    """

    url: str
    name: str
    secret: str = field(repr=False)
    fingerprint: str = ""


@dataclass(frozen=True)
class SignedToken:
    """What a server gave for a secret. until: seconds since 1970."""

    text: str = field(repr=False)
    until: float


class TcpEndpoint:
    """A control plane on TCP. Raises Invalid for a URL that cannot be.

    login  None: without signing in, for what needs none
    token  of an earlier run, where there is one
    keep   remembers a new one for later runs
    """

    def __init__(
        self,
        url: str,
        fingerprint: str = "",
        login: ServerLogin | None = None,
        token: SignedToken | None = None,
        keep: Callable[[SignedToken], None] = lambda _: None,
    ) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "https"
        try:
            self._port = parts.port or (443 if self._tls else 80)
        except ValueError:
            raise _bad_url(url) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise _bad_url(url)
        if not self._tls and not _is_loopback(parts.hostname):
            raise Invalid(f"{url}: only this machine itself is spoken to without TLS", hint="https://HOST:PORT")
        self._url = url
        self._address = parts.hostname
        self.host = parts.netloc
        self.prefix = parts.path.rstrip("/")
        self._fingerprint = fingerprint
        self._login = login
        self._token = token
        self._fresh = False
        self._keep = keep
        self._renewing = asyncio.Lock()

    async def open(self) -> Connection:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(self._address, self._port, ssl=self._context())
        if self._tls and self._fingerprint and (seen := _fingerprint_of(writer)) != self._fingerprint:
            writer.transport.abort()
            raise Unauthenticated(
                f"{self._url} has another certificate than at your login: {seen}",
                hint="ask its admin for the fingerprint; if that is right: migctl login --server URL again",
            )
        return reader, writer

    async def certificate(self) -> str:
        """The fingerprint of the certificate that it shows, whoever made it. Raises OSError."""
        unchecked = ssl.create_default_context()
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(self._address, self._port, ssl=unchecked)
        try:
            return _fingerprint_of(writer)
        finally:
            writer.transport.abort()

    async def headers(self) -> tuple[tuple[str, str], ...]:
        if self._login is None:
            return ()
        async with self._renewing:
            if self._token is None or time.time() >= self._token.until:
                self._token, self._fresh = await self._exchange(self._login), True
                self._keep(self._token)
            return (("Authorization", f"Bearer {self._token.text}"),)

    def forget(self) -> bool:
        """Sign in anew for the next request, after a 401. False where the token was new: another one will not help."""
        old = self._token is not None and not self._fresh
        if old:
            self._token = None
        return old

    def unreachable(self, error: Exception) -> ControlPlaneError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unauthenticated(
                f"nobody vouches for the certificate of {self._url}: {error.verify_message}",
                hint="migctl login --server URL shows its fingerprint and keeps it",
            )
        text = str(error) or type(error).__name__
        return Unavailable(f"no answer from {self._url}: {text}", hint="check the address, and that it runs")

    async def _exchange(self, login: ServerLogin) -> SignedToken:
        """Sign in anew."""
        body = {"grantType": "app_token", "AppId": login.name, "AppSecret": login.secret}
        anonymous = TcpEndpoint(self._url, self._fingerprint)
        async with exchange(anonymous, "POST", "/api/v1/token", json.dumps(body).encode(), CONNECT_S) as response:
            answer = json.loads(await response.read())
            if response.status == 401:
                raise Unauthenticated(
                    f"{self._url} does not know the token {login.name!r}, or it has ended",
                    hint="migctl login --server URL with another one",
                )
            if response.status != 200:
                raise Unavailable(f"{self._url}: {answer.get('message', response.status)}", hint="try again later")
        return SignedToken(answer["accessToken"], time.time() + answer["expiresIn"] - EARLY_S)

    def _context(self) -> ssl.SSLContext | None:
        if not self._tls:
            return None
        context = ssl.create_default_context()
        if self._fingerprint:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _fingerprint_of(writer: asyncio.StreamWriter) -> str:
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return hashlib.sha256(certificate).digest().hex(":").upper()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bad_url(url: str) -> Invalid:
    return Invalid(f"{url!r} is no address of a server", hint="for example https://gpu1.example.org:8443")
