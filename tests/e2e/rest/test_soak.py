"""20,000 calls at random on a running `migctl up`: no 5xx, no hang, and its memory stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from tests.depth import THOROUGH
from tests.e2e.embedded import Embedded
from tests.limits import WAIT_S
from tests.migctl.api.v1.random_calls import call_at_random

ROUNDS = 5
CALLS = 4_000
"""In each round, about."""
OPERATIONS = 60
ROLES = ("admin", "project-admin", "researcher", "viewer")
FLAT = 1.15
"""What the memory may come to after the last round, of what it was after the first."""
MIB = 2**20


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    machine = Embedded(Path(tmp_path_factory.mktemp("h")))
    machine.ok("up", "--simulate", "a100-40gb=2", "--listen", "127.0.0.1:0", "--detach")
    try:
        yield machine
    finally:
        machine.end()


@pytest.mark.skipif(not THOROUGH, reason="takes minutes: make soak-api")
def test_any_calls_leave_the_daemon_as_it_was(machine: Embedded) -> None:
    users = SignedIn(machine, f"{(machine.home / 'listening').read_text().split()[-1]}/api/v1")
    process = psutil.Process(machine.pid())
    memory = []
    made = 0
    for number in range(ROUNDS):
        made += call_at_random(users.url, users, ("default",), CALLS // OPERATIONS, start=number)
        memory.append(process.memory_info().rss / MIB)
        print(f"SOAK api calls={made} rss_mb={memory[-1]:.0f}", flush=True)
    assert machine.pid() == process.pid
    assert memory[-1] <= FLAT * memory[0], memory


@dataclass
class SignedIn:
    """A token of each role. What calls at random deleted, or a whole project with its tokens, is made again."""

    machine: Embedded
    url: str
    secrets: dict[str, str] = field(default_factory=dict)

    def __call__(self) -> list[dict[str, str]]:
        """Headers of each token's bearer, an admin first, and of nobody."""
        self.machine.run("project", "create", "default")
        return [*({"Authorization": f"Bearer {self._signed(role)}"} for role in ROLES), {}]

    def _signed(self, role: str) -> str:
        answer = self._exchange(role)
        if answer.status_code != 200:
            scope = () if role == "admin" else ("--project", "default")
            self.machine.run("token", "delete", role)
            self.secrets[role] = self.machine.ok("token", "create", role, "--role", role, *scope, "-q").strip()
            answer = self._exchange(role)
        token: str = answer.json()["accessToken"]
        return token

    def _exchange(self, role: str) -> httpx.Response:
        body = {"grantType": "app_token", "AppId": role, "AppSecret": self.secrets.get(role, "none")}
        return httpx.post(f"{self.url}/token", json=body, timeout=WAIT_S)
