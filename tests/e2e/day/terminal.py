"""One user's terminal: command lines one after another, each a process of its own.

The processes are forked from one that has imported migctl already, because the imports are most of what a command
costs, and a day has thousands: `python -m tests.e2e.day.terminal` is that one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from migctl.cli.main import Commands, run


@dataclass(frozen=True)
class Answer:
    """How a command ended. code: negative where a signal ended it, by its number."""

    code: int
    out: str
    err: str


class Terminal:
    """Runs commands with this environment, in a folder of its own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="migctl-terminal-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.day.terminal", self._folder.name],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, words: tuple[str, ...], killed_after: float | None = None) -> Answer:
        """What a command answers. killed_after: seconds after which SIGKILL ends it, unless it has ended."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"words": words, "killed_after": killed_after}) + "\n")
        self._process.stdin.flush()
        code = json.loads(self._process.stdout.readline())
        out, err = (Path(self._folder.name, name).read_text(errors="replace") for name in ("out", "err"))
        return Answer(code, out, err)

    def close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


def serve(folder: Path) -> None:
    """Run each command that standard input asks for; its exit code is the answer."""
    for commands in Commands.table.values():
        for command in commands.values():
            import_module(command.target.partition(":")[0])
    import_module("migctl.backends.http.client")
    for line in sys.stdin:
        sys.stdout.write(f"{_run(json.loads(line), folder)}\n")
        sys.stdout.flush()


def _run(asked: Mapping[str, Any], folder: Path) -> int:
    pid = os.fork()
    if not pid:
        for name, descriptor in (("out", 1), ("err", 2)):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = 1
        with contextlib.suppress(SystemExit):
            code = run(asked["words"])
        sys.stderr.flush()
        os._exit(code)
    if asked["killed_after"] is not None:
        time.sleep(asked["killed_after"])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
