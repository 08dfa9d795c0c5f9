"""Documents that tests write, and what became of them."""

from __future__ import annotations

import io
from typing import Any

import pytest
import yaml

from migctl.objects import Workload
from tests.migctl.cli.conftest import Cli


def stored(cli: Cli, name: str, project: str = "team-a") -> Workload:
    return cli.do(lambda cluster: cluster.get(Workload, name, project))


def typed(cli: Cli, monkeypatch: pytest.MonkeyPatch, text: str, *words: str) -> Any:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return cli(*words)


CONTAINER: dict[str, Any] = {
    "name": "main",
    "image": "busybox",
    "command": ["sh", "-c"],
    "args": ["echo $$X"],
    "env": [{"name": "LR", "value": "0.1"}],
    "workingDir": "/srv",
}
HALF: dict[str, Any] = {"metadata": {"annotations": {"gpu-fraction": "0.5"}}, "spec": {"containers": [CONTAINER]}}
JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "train", "labels": {"user": "bo", "team": "vision"}},
    "spec": {
        "parallelism": 2,
        "completions": 4,
        "backoffLimit": 1,
        "ttlSecondsAfterFinished": 60,
        "template": {**HALF, "spec": {**HALF["spec"], "restartPolicy": "Never", "schedulerName": "runai-scheduler"}},
    },
}
POD: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **HALF, "metadata": {"name": "p", **HALF["metadata"]}}


def changed(document: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = yaml.safe_load(yaml.safe_dump(document))
    at: Any = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy
