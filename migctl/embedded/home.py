"""The state directory of an embedded control plane.

home/migctl.sock    the API (0600)
     store.db       objects
     up.json        pid and start of the process that serves them, and what it simulates
     listening      where it listens on TCP, in words
     up.log         its log, when it runs detached
     agent/         held claims and intents of the node agent
     simulated.json the simulated GPUs, where there are any
     runs/          logs and process files of workloads
     signing-keys.json  what short-lived tokens are signed with (0600)
     oidc.json      another identity provider, where there is one
     tls/           a certificate of our own, for TCP
     audit/         who did what
     cluster-id     the UUID by which REST clients know this control plane
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "MIGCTL_HOME"


@dataclass(frozen=True, slots=True)
class Home:
    """A folder of one embedded control plane, 0700."""

    path: Path

    @classmethod
    def default(cls) -> Home:
        """$MIGCTL_HOME, else migctl under the user's state folder."""
        chosen = os.environ.get(HOME_VARIABLE)
        if chosen:
            return cls(Path(chosen).absolute())
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return cls(Path(state) / "migctl")

    def make(self) -> None:
        """Create the folders. Raises OSError."""
        for folder in (self.path, self.agent, self.runs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)

    @property
    def socket(self) -> Path:
        return self.path / "migctl.sock"

    @property
    def store(self) -> Path:
        return self.path / "store.db"

    @property
    def up(self) -> Path:
        return self.path / "up.json"

    @property
    def listening(self) -> Path:
        return self.path / "listening"

    @property
    def log(self) -> Path:
        return self.path / "up.log"

    @property
    def agent(self) -> Path:
        return self.path / "agent"

    @property
    def simulated(self) -> Path:
        return self.path / "simulated.json"

    def cluster_id(self) -> str:
        """The UUID that REST clients know this control plane by, made at the first call. Raises OSError."""
        file = self.path / "cluster-id"
        if not file.exists():
            new = file.with_suffix(".new")
            new.write_text(str(uuid.uuid4()))
            new.replace(file)
        return file.read_text().strip()

    @property
    def signing_keys(self) -> Path:
        return self.path / "signing-keys.json"

    @property
    def oidc(self) -> Path:
        return self.path / "oidc.json"

    @property
    def tls(self) -> Path:
        return self.path / "tls"

    @property
    def audit(self) -> Path:
        return self.path / "audit"

    @property
    def runs(self) -> Path:
        return self.path / "runs"
