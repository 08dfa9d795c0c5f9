"""A guide's YAML on a machine: it runs, it is compared, and all of it is deleted while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from migctl.objects import Phase
from tests.e2e.embedded import Embedded

PROJECT = {"apiVersion": "migctl.dev/v1alpha1", "kind": "Project", "meta": {"name": "team-c"}, "spec": {"quota": 1}}
SEARCH = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "search", "namespace": "runai-team-c", "labels": {"user": "bo"}},
    "spec": {
        "parallelism": 2,
        "completions": 3,
        "completionMode": "Indexed",
        "template": {
            "metadata": {"annotations": {"gpu-fraction": "0.25"}},
            "spec": {
                "schedulerName": "runai-scheduler",
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "main",
                        "image": "busybox",
                        "command": ["sh", "-c"],
                        "args": ["echo $JOB_COMPLETION_INDEX has $(RATE)"],
                        "env": [{"name": "RATE", "value": "0.1"}],
                    }
                ],
            },
        },
    },
}
DESK = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "desk", "namespace": "team-c"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "desk"}},
        "template": {
            "metadata": {"labels": {"app": "desk"}, "annotations": {"gpu-fraction": "0.5"}},
            "spec": {"containers": [{"name": "main", "image": "busybox", "command": ["sleep", "infinity"]}]},
        },
    },
}


@pytest.fixture(scope="module")
def machine(embedded: Callable[[str], Embedded]) -> Embedded:
    return embedded("a100-40gb=1")


def test_a_guides_documents_run_and_go(machine: Embedded, tmp_path: Path) -> None:
    file = str(tmp_path / "all.yaml")
    Path(file).write_text(yaml.safe_dump_all([DESK, PROJECT]))
    search = str(tmp_path / "search.json")
    Path(search).write_text(yaml.safe_dump(SEARCH))
    assert machine.ok("apply", "-f", file) == "project/team-c created\nworkload/desk created\n"
    assert machine.ok("apply", "-f", search) == "workload/search created\n"
    machine.until("all three have ended", lambda: machine.status("search") is Phase.COMPLETED)
    machine.until("the desk runs", lambda: machine.status("desk") is Phase.RUNNING)
    written = sorted(line.partition("] ")[2] for line in machine.ok("logs", "search", "-p", "team-c").splitlines())
    assert written == ["0 has 0.1", "1 has 0.1", "2 has 0.1"]
    assert machine.ok("diff", "-f", file, "-f", search) == ""
    assert "search" in machine.fails(4, "delete", "-f", file)
    machine.ok("delete", "-f", search)
    machine.until("the search is gone", lambda: machine.names() == ["desk"])
    assert machine.ok("delete", "-f", file) == "workload/desk deleted\nproject/team-c deleted\n"
    assert "no workload" in machine.run("list", "-A").stderr
