"""The keys that short-lived tokens are signed with: Ed25519, in a file that only its owner can read.

A key signs for at most MAX_AGE; what an older one signed stays valid until it expires by itself.
"""

from __future__ import annotations

import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from migctl.backends.protocol import Invalid, Unauthenticated
from migctl.clock import Clock

LIFETIME = timedelta(minutes=15)
"""How long a signed token is valid."""
MAX_AGE = timedelta(days=30)
MOST_KEYS = 8
ISSUER = "migctl"
ALGORITHM = "EdDSA"
AGAIN = "sign in again: POST /api/v1/token, or migctl login"


class _Key(msgspec.Struct, frozen=True):
    kid: str
    pem: str
    made: datetime


class _KeyFile(msgspec.Struct, frozen=True):
    """The newest key is the first."""

    keys: tuple[_Key, ...]


class SigningKeys:
    """Signs and verifies. Raises Invalid for a damaged file, OSError where it cannot be written."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self.file = file
        self._clock = clock
        self._keys = self._read()
        self._private: dict[str, Ed25519PrivateKey] = {}
        self._load()

    def sign(self, claims: dict[str, Any]) -> str:
        """A token with these claims, valid for LIFETIME from now."""
        if not self._keys or self._clock() - self._keys[0].made >= MAX_AGE:
            self.rotate()
        now = self._clock()
        kid = self._keys[0].kid
        return jwt.encode(
            {**claims, "iss": ISSUER, "iat": now, "exp": now + LIFETIME}, self._private[kid], ALGORITHM, {"kid": kid}
        )

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token that is valid now. Raises Unauthenticated."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._private.get(kid) if isinstance(kid, str) else None
            if key is None or not self._valid(kid):
                raise Unauthenticated("the token is not valid (any more)", hint=AGAIN)
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public_key(),
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            raise Unauthenticated("the token is not valid (any more)", hint=AGAIN) from None
        if not isinstance(claims["exp"], int) or claims["exp"] <= self._clock().timestamp():
            raise Unauthenticated("the token has expired", hint=AGAIN)
        return claims

    def rotate(self) -> None:
        """Sign with a new key from now on. What an older one signed is valid for at most LIFETIME more."""
        now = self._clock()
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        older = tuple(key for key in self._keys[1:] if self._valid(key.kid))
        self._keys = (_Key(secrets.token_hex(8), pem, now), *self._keys[:1], *older)[:MOST_KEYS]
        write_private(self.file, msgspec.json.encode(_KeyFile(self._keys)))
        self._load()

    def _valid(self, kid: object) -> bool:
        """The newest key is valid, and an older one for LIFETIME after it was replaced."""
        order: list[object] = [key.kid for key in self._keys]
        after = order.index(kid) - 1
        return after < 0 or self._clock() - self._keys[after].made < LIFETIME

    def _read(self) -> tuple[_Key, ...]:
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=_KeyFile).keys
        except FileNotFoundError:
            return ()
        except msgspec.DecodeError as error:
            raise _damaged(self.file, error) from None

    def _load(self) -> None:
        loaded = {}
        for key in self._keys:
            try:
                private = load_pem_private_key(key.pem.encode(), None)
            except ValueError as error:
                raise _damaged(self.file, error) from None
            if not isinstance(private, Ed25519PrivateKey):
                raise _damaged(self.file, ValueError("a key of another kind"))
            loaded[key.kid] = private
        self._private = loaded


def _damaged(file: Path, error: Exception) -> Invalid:
    return Invalid(
        f"the signing keys in {file} cannot be read: {error}",
        hint="remove the file: a new key is made, and who is signed in signs in again",
    )


def write_private(file: Path, content: bytes) -> None:
    """Replace a file that only its owner may read, as a whole. Raises OSError."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
        written.write(content)
        written.flush()
        os.fsync(written.fileno())
    new.replace(file)
