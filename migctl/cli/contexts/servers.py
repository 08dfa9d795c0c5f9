"""Servers that `migctl login --server` keeps: a file beside the config file that only its owner can read."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from migctl.cli import settings
from migctl.cli.failures import Failure


class ServerEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A server, the token we come with, and the fingerprint of its certificate ("": an authority vouches for it)."""

    url: str
    token: str
    secret: str
    fingerprint: str = ""


class KeptToken(msgspec.Struct, frozen=True):
    """A short-lived token, so that not every command signs in. until: seconds since 1970."""

    text: str
    until: float


def kept_token(environ: Mapping[str, str], name: str) -> KeptToken | None:
    """The one of this server. It only saves time: an unreadable file has none."""
    try:
        return msgspec.json.decode(_token_file(environ).read_bytes(), type=dict[str, KeptToken]).get(name)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def keep_token(environ: Mapping[str, str], name: str, token: KeptToken) -> None:
    """Remember it, and no other server's: those sign in again."""
    with contextlib.suppress(OSError):
        _replace(_token_file(environ), {name: token})


def _token_file(environ: Mapping[str, str]) -> Path:
    return path(environ).with_name("server-token.json")


def path(environ: Mapping[str, str]) -> Path:
    """Where the file is."""
    return settings.config_path(environ).with_name("servers.json")


def load(environ: Mapping[str, str]) -> dict[str, ServerEntry]:
    """The servers by name. A damaged file is a Failure that names it."""
    file = path(environ)
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, ServerEntry])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failure(
            f"the file {file} cannot be read", cause=str(error), hint="remove it, and log in again"
        ) from error


def save(environ: Mapping[str, str], servers: Mapping[str, ServerEntry]) -> None:
    """Replace the file as a whole; nobody else can read it at any time. Raises OSError."""
    _token_file(environ).unlink(missing_ok=True)
    _replace(path(environ), dict(servers))


def _replace(file: Path, content: Mapping[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, new = tempfile.mkstemp(dir=file.parent, prefix=file.name)  # 0600
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
            written.flush()
            os.fsync(written.fileno())
        os.replace(new, file)
    except BaseException:
        os.unlink(new)
        raise
