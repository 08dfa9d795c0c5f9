"""The controller where no cluster can be reached: one line that says why and what to do, exit code 1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "there is no kubeconfig"),
        ("{bad: [yaml", "cannot be used"),
        ("clusters: 3\n", "cannot be used"),
        ("", ""),
    ],
    ids=["none", "no YAML", "another form", "empty"],
)
def test_a_kubeconfig_that_cannot_be_used_is_one_line(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "migctl.controller", "--kubeconfig", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    first, *others = done.stderr.splitlines()
    assert first.startswith("error: no cluster to talk to: ")
    assert why in first
    assert others == ["hint: name one with --kubeconfig and --context"]
