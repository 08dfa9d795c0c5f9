"""The client library in its own environment, in front of `migctl up` on simulated GPUs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compat.doorway import Doorway
from tests.e2e.embedded import Embedded

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("MIGCTL_COMPAT_PYTHON", ROOT / ".venv-compat" / "bin" / "python"))
SIMULATED = "a100-40gb=1,v100=1"
KINDS = ("synchronous", "threaded", "asynchronous")


@dataclass
class Library:
    """The library's three clients, each a process of its own that is started when it is needed."""

    url: str
    name: str
    secret: str
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def calls(self, client: str, *calls: dict[str, Any]) -> list[dict[str, Any]]:
        """The outcome of each call."""
        if client not in self.processes:
            self.processes[client] = subprocess.Popen(
                [PYTHON, Path(__file__).parent / "library.py", self.url, client],
                env={**os.environ, "COMPAT_ID": self.name, "COMPAT_SECRET": self.secret},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        process = self.processes[client]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(calls) + "\n")
        process.stdin.flush()
        outcomes: list[dict[str, Any]] = json.loads(process.stdout.readline())
        return outcomes

    def close(self) -> None:
        for process in self.processes.values():
            process.communicate()


@pytest.fixture(scope="module")
def one() -> Iterator[Embedded]:
    if not PYTHON.exists():
        pytest.skip("the client library is not installed: make setup-compat")
    started = Embedded(Path(tempfile.mkdtemp(prefix="migctl-")))
    try:
        started.ok("up", "--simulate", SIMULATED, "--detach", "--listen", "127.0.0.1:0")
        yield started
    finally:
        started.end()


@pytest.fixture(scope="module")
def doorway(one: Embedded) -> Iterator[Doorway]:
    found = re.search(r"http://127\.0\.0\.1:(\d+)", (one.home / "listening").read_text())
    assert found is not None
    with Doorway(int(found[1])).open() as doorway:
        yield doorway


@contextlib.contextmanager
def signed_in(one: Embedded, doorway: Doorway, **role: str) -> Iterator[Library]:
    """The library with a token that has this role."""
    transport = httpx.HTTPTransport(uds=str(one.home / "migctl.sock"))
    with httpx.Client(transport=transport, base_url="http://migctl/api/v1") as owner:
        made = owner.post("/access-keys", json={"name": f"tester-{role['role']}", **role}).raise_for_status().json()
        library = Library(doorway.url, made["clientId"], made["clientSecret"])
        try:
            yield library
        finally:
            library.close()
            owner.delete(f"/access-keys/{made['id']}").raise_for_status()


@pytest.fixture(scope="module")
def library(one: Embedded, doorway: Doorway) -> Iterator[Library]:
    """It signs in with a token of a researcher of the project."""
    with signed_in(one, doorway, role="researcher", scopeType="project", scopeId="default") as library:
        yield library


@pytest.fixture(scope="module")
def admins(one: Embedded, doorway: Doorway) -> Iterator[Library]:
    """It signs in with a token of an admin."""
    with signed_in(one, doorway, role="admin") as library:
        yield library
