"""A running `migctl up` on simulated GPUs, used through its command line as a person would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

R = TypeVar("R")
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Embedded:
    """One home. Commands run as processes of their own, with this home and config in their environment."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"MIGCTL_HOME": str(self.home), "MIGCTL_CONFIG": str(self.home / "config.toml"), "NO_COLOR": "1"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MIGCTL_")}
        return {**kept, **own, "COLUMNS": "200"}

    def run(self, *words: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """`migctl WORDS`, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "migctl.cli.main", *words],
            env=self.environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ok(self, *words: str) -> str:
        """What `migctl WORDS` prints; it must succeed."""
        done = self.run(*words)
        assert done.returncode == 0, f"migctl {' '.join(words)} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, code: int, *words: str) -> str:
        """What `migctl WORDS` says when it fails, as it must, with this exit code."""
        done = self.run(*words)
        assert done.returncode == code, f"migctl {' '.join(words)} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "-o", "json"))

    def up(self, simulate: str) -> None:
        self.ok("up", "--simulate", simulate, "--detach")

    def pid(self) -> int:
        pid: int = json.loads((self.home / "up.json").read_text())["pid"]
        return pid

    def kill(self) -> None:
        """SIGKILL for `migctl up`."""
        process = psutil.Process(self.pid())
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def down(self) -> None:
        self.run("down", "--workloads")

    def until(self, what: str, look: Callable[[], R]) -> R:
        """The first true answer of `look`, within a patience that no healthy run needs."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if answer := look():
                return answer
            time.sleep(0.05)
        raise AssertionError(f"{what}: not within {PATIENCE_S:.0f} s\n{self.ok('list', '-A')}\n{self._log()}")

    def wait(self, name: str, status: str, project: str | None = None) -> None:
        """Wait until a workload has a status."""
        selected = ("-p", project) if project else ()
        self.until(f"{name} {status}", lambda: self.status(name, *selected) == status)

    def status(self, name: str, *selected: str) -> str | None:
        found = [w for w in self.json("list", *selected)["items"] if w["meta"]["name"] == name]
        return found[0]["status"].get("phase", "Pending") if found else None

    def _log(self) -> str:
        log = self.home / "up.log"
        return log.read_text()[-4000:] if log.exists() else ""
