"""docs/api.md and docs/migrate.md as they stand: their lines are run one after another, as a reader would."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.embedded import Embedded
from tests.limits import WAIT_S

DOCS = Path(__file__).parents[2] / "docs"
COMPAT = Path(os.environ.get("MIGCTL_COMPAT_PYTHON", DOCS.parent / ".venv-compat" / "bin" / "python"))
PRINTED_NULL = re.compile(r"^null$", re.MULTILINE)


@pytest.fixture
def home() -> Iterator[Embedded]:
    one = Embedded(Path(tempfile.mkdtemp(prefix="migctl-")))
    yield one
    one.end()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def run(one: Embedded, words: list[str], **more: str) -> str:
    path = f"{Path(sys.executable).parent}:{one.environment['PATH']}"
    environment = {**one.environment, "PATH": path, **more}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def typed(one: Embedded, page: str, address: str) -> str:
    """What the shell lines of a page print."""
    found = blocks(page, "sh")
    assert found
    return run(one, ["bash", "-x", "-c", "\n".join(("set -euo pipefail", *found)).replace(ADDRESS, address)])


ADDRESS = "127.0.0.1:8443"
TOOLS = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl and jq are not installed")


@TOOLS
def test_each_line_of_the_tour_works(home: Embedded) -> None:
    assert not PRINTED_NULL.search(typed(home, "api.md", f"127.0.0.1:{free_port()}"))


def test_each_line_for_those_who_come_from_elsewhere_works(home: Embedded) -> None:
    address = f"127.0.0.1:{free_port()}"
    typed(home, "migrate.md", address)
    if not COMPAT.exists():
        pytest.skip("the client library is not installed: make setup-compat")
    asked = {"name": "ci", "role": "researcher", "scopeType": "project", "scopeId": "team-a"}
    transport = httpx.HTTPTransport(uds=str(home.home / "migctl.sock"))
    with httpx.Client(transport=transport, base_url="http://migctl/api/v1") as owner:
        secret = owner.post("/access-keys", json=asked).raise_for_status().json()["clientSecret"]
    (program,) = blocks("migrate.md", "python")
    printed = run(home, [str(COMPAT), "-c", program.replace(ADDRESS, address)], SECRET=secret)
    assert printed.strip() in ("Pending", "Initializing", "Running")
