"""What workloads can be filtered and sorted by."""

from __future__ import annotations

from migctl.api.v1.filters import FilterFields
from migctl.api.v1.workloads.rows import WorkloadRow

FIELDS: FilterFields[WorkloadRow] = FilterFields(
    uid=lambda row: row.workload.meta.uid,
    text=lambda row: row.text,
    texts={
        "type": lambda row: row.workload.spec.type,
        "name": lambda row: row.name,
        "id": lambda row: row.workload.meta.uid,
        "projectName": lambda row: row.project,
        "projectId": lambda row: row.place.uid,
        "departmentName": lambda row: row.place.department,
        "departmentId": lambda row: row.place.department_uid,
        "phase": lambda row: row.phase,
        "submittedBy": lambda row: row.workload.spec.user,
        "image": lambda row: row.workload.spec.image,
        "gpuRequestType": lambda row: row.request_type,
        "preemptible": lambda row: str(row.workload.spec.preemptible).lower(),
    },
    lists={"nodepool": lambda row: row.workload.spec.pools, "nodeName": lambda row: row.nodes},
    numbers={
        "allocatedGPU": lambda row: row.gpus,
        "runningPods": lambda row: row.workload.status.running,
        "priority": lambda row: row.workload.spec.priority,
    },
    times={"createdAt": lambda row: row.created, "completedAt": lambda row: row.workload.status.finished},
)
