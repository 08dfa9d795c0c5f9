"""Secrets of programs and what is stored of them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

PREFIX = "migctl_"
"""Secret scanners know a secret by it."""

SHA256 = re.compile(r"[0-9a-f]{64}")


def new_secret(name: str) -> str:
    """256 random bits after the name of the token, which has no underscore: migctl_NAME_BITS."""
    return f"{PREFIX}{name}_{secrets.token_urlsafe(32)}"


def name_in(secret: str) -> str:
    """The name of the token in its secret, "" where there is none."""
    name, underscore, _ = secret.removeprefix(PREFIX).partition("_")
    return name if secret.startswith(PREFIX) and underscore else ""


def digest(secret: str) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def matches(secret: str, stored: str) -> bool:
    """Whether it is the secret of a stored digest, in a time that tells nothing of either."""
    return hmac.compare_digest(digest(secret), stored)
