"""Settings: a flag wins over MIGCTL_*, that over the config file, that over the default.

The config file is JSON: $MIGCTL_CONFIG, or migctl/config.json under $XDG_CONFIG_HOME (~/.config). It is
replaced as a whole, so that a full disk or a kill leaves the old one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from migctl.cli.failures import Failure


class Config(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The config file.

    project   what -p defaults to on this machine; projects: on each context of the kubeconfig
    output    what -o defaults to
    context   what --context defaults to
    notices   already shown, which are shown once
    """

    project: str | None = None
    projects: dict[str, str] = {}
    output: str | None = None
    context: str | None = None
    notices: tuple[str, ...] = msgspec.field(default=(), name="told")


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the config file is."""
    if explicit := environ.get("MIGCTL_CONFIG"):
        return Path(explicit)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "~"), ".config")
    return Path(home).expanduser() / "migctl" / "config.json"


def load(path: Path) -> Config:
    """The config file, or the defaults where there is none. A damaged one is a Failure that names it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Config)
    except FileNotFoundError:
        return Config()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failure(
            f"the config file {path} cannot be read", cause=str(error), hint="correct or remove it"
        ) from error


def save(path: Path, config: Config) -> None:
    """Replace the config file as a whole. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(msgspec.json.format(msgspec.json.encode(config)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
