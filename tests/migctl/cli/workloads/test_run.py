"""`migctl run`, as far as it gets without a GPU."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.migctl.cli.conftest import Cli


@pytest.mark.parametrize("variable", ["TMPDIR", "XDG_RUNTIME_DIR"])
def test_a_folder_that_others_can_write_is_not_run_in(
    cli: Cli, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H1: libraries are loaded from there."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    folder = tmp_path / ("migctl-run" if variable == "XDG_RUNTIME_DIR" else f"migctl-run-{os.getuid()}")
    folder.mkdir()
    folder.chmod(0o777)
    answer = cli("run", "-g", "0.5", "--", "true")
    assert answer.code == 1
    assert "the folder of your runs is not safe" in answer.err
    assert "export XDG_RUNTIME_DIR=" in answer.err
