"""What workloads can be filtered and sorted by."""

from __future__ import annotations

from collections.abc import Callable

from migctl.api.v1.filters import FilterFields
from migctl.api.v1.workloads.rows import WorkloadRow

TEXTS = (
    "type",
    "name",
    "id",
    "projectName",
    "projectId",
    "departmentName",
    "departmentId",
    "phase",
    "submittedBy",
    "image",
    "gpuRequestType",
    "preemptible",
)


def _text(field: str) -> Callable[[WorkloadRow], str]:
    return lambda row: row.texts[field]


FIELDS: FilterFields[WorkloadRow] = FilterFields(
    uid=lambda row: row.uid,
    text=lambda row: row.text,
    texts={field: _text(field) for field in TEXTS},
    lists={"nodepool": lambda row: row.workload.spec.pools, "nodeName": lambda row: row.nodes},
    numbers={
        "allocatedGPU": lambda row: row.gpus,
        "runningPods": lambda row: row.workload.status.running,
        "priority": lambda row: row.workload.spec.priority,
    },
    times={"createdAt": lambda row: row.created, "completedAt": lambda row: row.workload.status.finished},
)
