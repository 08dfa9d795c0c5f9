from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.embedded import Embedded


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
