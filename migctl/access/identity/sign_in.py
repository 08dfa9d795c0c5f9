"""A program's secret for a short-lived token, and that token for a caller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from migctl.access.caller import Caller
from migctl.access.identity.accounts import Accounts, key_of
from migctl.access.identity.attempts import Attempts
from migctl.access.identity.oidc import OidcIssuer, OidcSettings
from migctl.access.identity.secrets import matches
from migctl.access.identity.sessions import BrowserSession, Sessions, same
from migctl.access.identity.signing_keys import AGAIN, LIFETIME, SigningKeys
from migctl.backends.protocol import ControlPlane, Forbidden, Unauthenticated
from migctl.clock import Clock

NO_SECRET = "0" * 64
"""What the secret of an unknown name is compared with: it takes as long as another one."""


@dataclass(frozen=True)
class Issued:
    """A short-lived token, and whose it is."""

    access_token: str
    expires_in_s: int
    user: str


def signing_in(control_plane: ControlPlane, keys: Path, clock: Clock, oidc: OidcSettings | None = None) -> SignIn:
    """How callers of a control plane sign in; its file of keys. Raises Invalid where that is damaged."""
    sessions = Sessions(clock)
    issuer = None if oidc is None else OidcIssuer(oidc, clock)
    accounts, signing = Accounts(control_plane, sessions, clock), SigningKeys(keys, clock)
    return SignIn(accounts, signing, Attempts(clock), sessions, issuer)


class SignIn:
    """How somebody becomes a caller. Every request asks again what is stored."""

    def __init__(
        self,
        accounts: Accounts,
        keys: SigningKeys,
        attempts: Attempts,
        sessions: Sessions,
        issuer: OidcIssuer | None = None,
    ) -> None:
        self.accounts = accounts
        self.keys = keys
        self.sessions = sessions
        self._attempts = attempts
        self._issuer = issuer

    async def exchange(self, name: str, secret: str, address: str) -> Issued:
        """A token of 15 minutes for a secret.

        Raises RateLimited, and Unauthenticated with the same words for an unknown name and a wrong secret.
        """
        self._attempts.check(address, name)
        token = await self.accounts.token(name)
        right = matches(secret, token.spec.secret_sha256 if token is not None else NO_SECRET)
        if token is None or not right:
            self._attempts.failed(address, name)
            raise Unauthenticated(
                "there is no such token, or this is not its secret", hint="migctl token list shows names and expiry"
            )
        self._attempts.succeeded(address, name)
        await self.accounts.used(token)
        signed = self.keys.sign({"sub": token.spec.user, "token": key_of(token)})
        return Issued(signed, int(LIFETIME.total_seconds()), token.spec.user)

    async def bearer(self, credential: str, origin: str) -> Caller:
        """Who comes with a signed token: rights are those of the stored one, or of an issuer's groups.

        Raises Unauthenticated, and Unavailable where the issuer does not answer.
        """
        if self._issuer is not None and self._issuer.signed(credential):
            user = await self._issuer.user(credential)
            access = (*user.given, *await self.accounts.roles_of(user.name))
            return Caller(user.name, access, "OIDC", origin, expires=user.expires, given=user.given)
        key = self.keys.verify(credential).get("token")
        name = key.partition("/")[0] if isinstance(key, str) else ""
        token = await self.accounts.token(name) if name else None
        if token is None or key_of(token) != key:
            raise Unauthenticated("the token was deleted, or has expired", hint=AGAIN)
        await self.accounts.used(token)
        return Caller(
            token.spec.user,
            await self.accounts.roles_with(token),
            through=f"token {name}",
            origin=origin,
            expires=token.spec.expires,
            token=key_of(token),
        )

    async def browser(self, cookie: str, csrf: str | None, origin: str) -> Caller:
        """Who comes with a cookie. Raises Unauthenticated, and Forbidden without the CSRF header.

        csrf  the header's value; None: the request changes nothing and needs none
        """
        key, session = self.sessions.of(cookie)
        if csrf is not None and not same(csrf, session.csrf):
            raise Forbidden(
                "a change by a browser needs the header X-CSRF-Token", hint="its value is in the cookie migctl_csrf"
            )
        return await self.signed_in(key, session, origin)

    async def signed_in(self, key: str, session: BrowserSession, origin: str) -> Caller:
        """The caller of a browser's session."""
        who = session.who
        access = (*who.given, *await self.accounts.roles_of(who.user))
        return Caller(who.user, access, "login link", origin, expires=who.expires, session=key, given=who.given)
