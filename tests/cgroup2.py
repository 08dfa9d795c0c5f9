"""A cgroup v2 file system of a test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def own_cgroup(mount: Path) -> Iterator[Path]:
    """A cgroup of this test's, below a cgroup v2 mounted for it; skips the test where none can be mounted."""
    mount.mkdir()
    if subprocess.run(["mount", "-t", "cgroup2", "none", mount], capture_output=True, check=False).returncode:
        pytest.skip("no cgroup v2 can be mounted here")
    own = mount / f"test-{os.getpid()}"
    try:
        own.mkdir()
        yield own
        for folder, _, _ in os.walk(own, topdown=False):
            os.rmdir(folder)
    finally:
        subprocess.run(["umount", mount], check=True)
