"""`diff -f`: what applying would change, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.migctl.cli.conftest import Cli
from tests.migctl.cli.files.written import JOB, changed, stored, typed

PROJECT = {"apiVersion": "migctl.dev/v1alpha1", "kind": "Project", "meta": {"name": "team-c"}, "spec": {"quota": 2}}


def test_what_is_not_there_is_shown_whole(machine: Cli, write: Any) -> None:
    result = machine("diff", "-f", write(PROJECT))
    assert (result.code, result.lines) == (
        1,
        [
            "--- project/team-c now",
            "+++ project/team-c applied",
            "@@ -0,0 +1,6 @@",
            "+apiVersion: migctl.dev/v1alpha1",
            "+kind: Project",
            "+meta:",
            "+  name: team-c",
            "+spec:",
            "+  quota: 2.0",
        ],
    )
    assert "team-c" not in machine.ok("project", "list", "-o", "name").out


@pytest.mark.parametrize("words", [("diff",), ("workload", "diff")])
def test_what_differs_and_what_does_not(machine: Cli, write: Any, words: tuple[str, ...]) -> None:
    file = write(JOB)
    machine.ok("apply", "-f", file)
    same = machine.ok(*words, "-f", file)
    assert same.out == ""
    other = write(changed(JOB, "spec", "parallelism", value=3))
    result = machine(*words, "-f", other)
    assert (result.code, "-  parallelism: 2" in result.lines, "+  parallelism: 3" in result.lines) == (1, True, True)
    assert stored(machine, "train").spec.parallelism == 2
    machine.ok("apply", "-f", other)
    assert machine.ok(*words, "-f", other).out == ""


def test_what_a_document_does_not_say_is_no_difference(machine: Cli, write: Any) -> None:
    machine.ok("apply", "-f", write(JOB))
    machine.ok("suspend", "train")
    assert machine.ok("diff", "-f", write(JOB)).out == ""


def test_errors_have_codes_of_their_own(machine: Cli, write: Any, tmp_path: Path) -> None:
    """Scripts take 1 for a difference, as of kubectl."""
    assert machine("diff").code == 2
    assert machine("diff", "-f", str(tmp_path / "none.yaml")).code == 2
    assert machine("diff", "-f", write("a: [")).code == 2
    assert machine("diff", "-f", write(changed(JOB, "metadata", "namespace", value="team-x"))).code == 3
    machine.ok("apply", "-f", write(JOB))
    half = changed(JOB, "spec", "template", "metadata", "annotations", "gpu-fraction", value="0.25")
    result = machine("diff", "-f", write(half))
    assert (result.code, "spec.gpuRequest: cannot be changed after the submission" in result.err) == (4, True)


def test_a_project_and_what_runs_in_it(machine: Cli, write: Any) -> None:
    job = changed(JOB, "metadata", "namespace", value="team-c")
    result = machine("diff", "-f", write(f"{yaml.safe_dump(job)}---\n{yaml.safe_dump(PROJECT)}"))
    assert (result.code, [line for line in result.lines if line.startswith("+++")]) == (
        1,
        ["+++ project/team-c applied", "+++ workload/train applied"],
    )


def test_lines_fit_a_narrow_terminal(machine: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    document = machine.ok("submit", "one", "-g", "0.5", "--dry-run", "-o", "yaml", "--", "echo", "word " * 100).out
    result = typed(machine, monkeypatch, document, "diff", "-f", "-")
    assert result.code == 1
    assert max(map(len, result.lines)) <= 80
