"""Secrets of programs and what is stored of them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

PREFIX = "migctl_"
"""Secret scanners know a secret by it."""

SHA256 = re.compile(r"[0-9a-f]{64}")


def new_secret() -> str:
    """256 random bits, as text that URLs and shells leave as it is."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def matches(secret: str, stored: str) -> bool:
    """Whether it is the secret of a stored digest, in a time that tells nothing of either."""
    return hmac.compare_digest(digest(secret), stored)
