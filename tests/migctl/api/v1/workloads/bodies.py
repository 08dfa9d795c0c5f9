"""Submissions as clients send them."""

from __future__ import annotations

from typing import Any

from tests.migctl.api.v1.conftest import CLUSTER

TYPES = ("trainings", "workspaces", "inferences", "distributed")
OWN = {"distributed": {"distributedFramework": "PyTorch", "numWorkers": 1}}


def body(name: str = "job", project: str = "team-a", kind: str = "trainings", **spec: Any) -> dict[str, Any]:
    """A submission of half a GPU; what is given replaces what it has."""
    half = {"gpuDevicesRequest": 1, "gpuRequestType": "portion", "gpuPortionRequest": 0.5}
    given = {"image": "pytorch", "compute": half, **OWN.get(kind, {}), **spec}
    return {"name": name, "projectId": project, "clusterId": CLUSTER.uid, "spec": given}
