"""Tokens that a command prints, as kubeconfigs of clouds have them (client-go credential plugins)."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct, field

_TIMEOUT_S = 60.0
_EARLY = timedelta(seconds=60)
"""A token that expires this soon is renewed."""


class ExecVariable(Struct):
    """An environment variable of a command."""

    name: str
    value: str


class CredentialCommand(Struct):
    """`user.exec` of a kubeconfig."""

    command: str
    api: str = field(name="apiVersion", default="client.authentication.k8s.io/v1")
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    hint: str = field(name="installHint", default="")


class TokenStatus(Struct):
    """A token and when it expires; None: never."""

    token: str
    expires: datetime | None = field(name="expirationTimestamp", default=None)


class Credential(Struct):
    """What a command prints: an ExecCredential."""

    status: TokenStatus


class CommandTokens:
    """The token of a command, run again before it expires. From any thread."""

    def __init__(
        self, command: CredentialCommand, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._command, self._folder, self._now = command, folder, now
        self._newest: TokenStatus | None = None
        self._lock = threading.Lock()

    def token(self) -> str:
        """Raises OSError with what to do."""
        with self._lock:
            if self._newest is None or (self._newest.expires and self._newest.expires - _EARLY < self._now()):
                self._newest = self._run()
            return self._newest.token

    def _run(self) -> TokenStatus:
        info = {"apiVersion": self._command.api, "kind": "ExecCredential", "spec": {"interactive": False}}
        environ = {**os.environ, **{v.name: v.value for v in self._command.env or ()}}
        environ["KUBERNETES_EXEC_INFO"] = msgspec.json.encode(info).decode()
        try:
            done = subprocess.run(
                [self._program(), *(self._command.args or ())],
                env=environ,
                capture_output=True,
                check=True,
                timeout=_TIMEOUT_S,
            )
            return msgspec.json.decode(done.stdout, type=Credential).status
        except subprocess.CalledProcessError as e:
            printed = e.stderr.decode(errors="replace").strip()
            raise OSError(f"{self._command.command} gave no token: {printed or f'exit code {e.returncode}'}") from e
        except (subprocess.SubprocessError, msgspec.MsgspecError) as e:
            raise OSError(f"{self._command.command} gave no token: {e}") from e

    def _program(self) -> str:
        """A name is looked up in PATH, a path with a slash starts at the kubeconfig's folder."""
        name = self._command.command
        found = str(self._folder / name) if "/" in name else shutil.which(name)
        if found is None:
            raise OSError(f"{name} is not in PATH; {self._command.hint or 'the kubeconfig needs it for a token'}")
        return found
