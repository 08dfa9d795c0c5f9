"""People of another identity provider: its signed tokens, and what its groups may do here.

The settings are $MIGCTL_HOME/oidc.json:

    {"issuer": "https://idp.example.org", "audience": "migctl", "userClaim": "email", "groupsClaim": "groups",
     "groups": {"gpu-admins": [{"role": "admin"}], "vision": [{"role": "researcher", "scope": {"project": "team-a"}}]}}

A user has what his groups give, and what access rules give to his name. His name is that of the claim.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec
import structlog

from migctl.access.caller import APP, USER, can_be_given
from migctl.backends.protocol import Invalid, Unauthenticated, Unavailable
from migctl.clock import Clock
from migctl.objects import RoleInScope

log = structlog.get_logger()

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""With a public key only: a shared secret would let the issuer's other clients sign."""
KEYS_LIFETIME_S = 300.0
FETCH_S = 5.0
RETRY_S = 5.0
LEEWAY_S = 30.0
MOST_GROUPS = 1000


class OidcSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Whose tokens are taken, and what they mean.

    jwks_uri     where the issuer's keys are; "": as its discovery document says
    user_claim   names the user
    groups       what a group of the claim `groups_claim` gives
    """

    issuer: str
    audience: str
    user_claim: str = "sub"
    groups_claim: str = "groups"
    groups: dict[str, tuple[RoleInScope, ...]] = {}
    jwks_uri: str = ""


def settings_in(file: Path) -> OidcSettings | None:
    """The settings in a file, None without one. Raises Invalid, naming the field."""
    try:
        settings = msgspec.json.decode(file.read_bytes(), type=OidcSettings)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise Invalid(f"{file}: {error}", hint="docs/access.md has an example") from None
    for url in filter(None, (settings.issuer, settings.jwks_uri)):
        if not _is_safe(url):
            raise Invalid(f"{file}: {url!r} is no address with https://", hint="an issuer is spoken to with TLS")
    for group, roles in settings.groups.items():
        for access in roles:
            if not can_be_given(access):
                raise Invalid(f"{file}: groups.{group}: the role {access.role} is not given in such a scope")
    return settings


class OidcUser(msgspec.Struct, frozen=True):
    """Who the issuer says it is."""

    name: str
    given: tuple[RoleInScope, ...]
    expires: datetime


class OidcIssuer:
    """Verifies what an issuer signed. Its keys are fetched when they are needed, and kept for a while."""

    def __init__(self, settings: OidcSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: jwt.PyJWKClient | None = None
        self._fetching = asyncio.Lock()
        self._failed_until = 0.0
        self._look_again = 0.0
        """When an unknown key is looked for again: strangers can name any."""

    def signed(self, token: str) -> bool:
        """Whether the token says that it is this issuer's; that is not verified yet."""
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return False
        return bool(claims.get("iss") == self._settings.issuer)

    async def user(self, token: str) -> OidcUser:
        """Whose token it is. Raises Unauthenticated, and Unavailable where the issuer does not answer."""
        key = await self._key(token)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,  # by our clock, below
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token of {self._settings.issuer} is not valid: {error}") from None
        return self._user(claims)

    def _user(self, claims: dict[str, Any]) -> OidcUser:
        now, expires, begins = self._clock().timestamp(), claims["exp"], claims.get("nbf", 0)
        if not isinstance(expires, int | float) or expires <= now:
            raise Unauthenticated("the token has expired", hint="sign in to the issuer again")
        if not isinstance(begins, int | float) or begins > now + LEEWAY_S:
            raise Unauthenticated("the token is not valid yet")
        name = claims.get(self._settings.user_claim)
        if not isinstance(name, str) or not USER.fullmatch(name) or name.startswith(APP):
            raise Unauthenticated(f"the claim {self._settings.user_claim!r} of the token is no user's name")
        groups = claims.get(self._settings.groups_claim, [])
        names = [group for group in groups if isinstance(group, str)][:MOST_GROUPS] if isinstance(groups, list) else []
        given = [access for group in names for access in self._settings.groups.get(group, ())]
        return OidcUser(name, tuple(dict.fromkeys(given)), datetime.fromtimestamp(expires, UTC))

    async def _key(self, token: str) -> jwt.PyJWK:
        """The issuer's key for a token. One caller fetches at a time, and a failure is remembered for a while."""
        loop = asyncio.get_running_loop()
        async with self._fetching:
            if loop.time() < self._failed_until:
                raise Unavailable("the identity provider does not answer", hint="try again in a moment")
            try:
                return await asyncio.to_thread(self._fetched, token)
            except jwt.PyJWKClientConnectionError as error:
                self._failed_until = loop.time() + RETRY_S
                log.warning("the keys of the identity provider were not read", error=str(error))
                raise Unavailable("the identity provider does not answer", hint="try again in a moment") from None
            except jwt.PyJWTError:
                raise Unauthenticated("the token is signed with a key that the issuer does not have") from None

    def _fetched(self, token: str) -> jwt.PyJWK:
        if self._keys is None:
            self._keys = jwt.PyJWKClient(
                self._settings.jwks_uri or _discovered(self._settings.issuer), lifespan=KEYS_LIFETIME_S, timeout=FETCH_S
            )
        kid = jwt.get_unverified_header(token).get("kid")
        found = _named(self._keys.get_jwk_set(), kid)
        if found is None and time.monotonic() >= self._look_again:
            self._look_again = time.monotonic() + RETRY_S
            found = _named(self._keys.get_jwk_set(refresh=True), kid)
        if found is None:
            raise jwt.PyJWKClientError("no such key")
        return found


def _named(keys: jwt.PyJWKSet, kid: object) -> jwt.PyJWK | None:
    return next((key for key in keys.keys if key.key_id == kid and key.public_key_use in ("sig", None)), None)


def _discovered(issuer: str) -> str:
    """Where the issuer's keys are: OpenID Connect Discovery 1.0, section 4."""
    from urllib.request import urlopen

    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    try:
        with urlopen(url, timeout=FETCH_S) as answer:
            said = msgspec.json.decode(answer.read(2**20), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise jwt.PyJWKClientConnectionError(f"{url}: {error}") from None
    uri = said.get("jwks_uri")
    if said.get("issuer") != issuer or not isinstance(uri, str) or not _is_safe(uri):
        raise jwt.PyJWKClientConnectionError(f"{url} is not that of {issuer}")
    return uri


def _is_safe(url: str) -> bool:
    """Whether a URL is spoken to with TLS, or is this machine's own."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
