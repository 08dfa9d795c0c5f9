from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.embedded import HOLD, Embedded


@pytest.fixture(scope="module")
def embedded() -> Iterator[Callable[[str], Embedded]]:
    """Starts embedded control planes on given simulated GPUs, and ends them and their workloads."""
    started: list[Embedded] = []

    def start(simulate: str) -> Embedded:
        # Socket paths are short (107 bytes), so not under pytest's own long folder names.
        one = Embedded(Path(tempfile.mkdtemp(prefix="migctl-")))
        started.append(one)
        one.up(simulate)
        return one

    yield start
    for one in started:
        one.end()


@pytest.fixture(scope="module")
def scattered(embedded: Callable[[str], Embedded]) -> Embedded:
    """Two A100s with one job on each, which would fit on one together."""
    one = embedded("a100-40gb=2")
    for name, profile in (("gone-1", "4g.20gb"), ("half", "3g.20gb"), ("gone-2", "4g.20gb"), ("quarter", "2g.10gb")):
        one.ok("submit", name, "--mig-profile", profile, *HOLD)
        one.running(name)
    one.ok("delete", "gone-1", "gone-2")
    one.until("both are gone", lambda: one.names() == ["half", "quarter"])
    return one
