"""Pods as lists filter them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migctl.api.v1.filters import FilterFields
from migctl.api.v1.workloads.rows import WorkloadRow
from migctl.backends.workload_status import holds
from migctl.objects import Claim


@dataclass(frozen=True, slots=True)
class PodRow:
    """A pod and the row of its workload."""

    of: WorkloadRow
    pod: Claim

    @property
    def node(self) -> str:
        """Where it holds GPUs, "" where it holds none."""
        held = self.pod.status.allocation if holds(self.pod) else None
        return held.node if held is not None else ""

    @property
    def completed(self) -> bool:
        """Whether it has ended."""
        return self.pod.status.phase.finished

    @property
    def phase(self) -> str:
        """As it is shown."""
        return "Terminating" if self.pod.meta.deleting else self.pod.status.phase


def pods_of(row: WorkloadRow) -> Iterator[PodRow]:
    """The pods of a workload."""
    return (PodRow(row, pod) for pod in row.pods)


PODS: FilterFields[PodRow] = FilterFields(
    uid=lambda row: row.pod.meta.uid,
    text=lambda row: f"{row.pod.meta.name} {row.pod.meta.uid} {row.of.name} {row.of.project} {row.node}".casefold(),
    texts={
        "name": lambda row: row.pod.meta.name.casefold(),
        "id": lambda row: row.pod.meta.uid.casefold(),
        "workloadName": lambda row: row.of.texts["name"],
        "workloadId": lambda row: row.of.texts["id"],
        "projectName": lambda row: row.of.texts["projectName"],
        "projectId": lambda row: row.of.texts["projectId"],
        "nodeName": lambda row: row.node.casefold(),
        "k8sPhase": lambda row: row.phase.casefold(),
    },
    times={
        "createdAt": lambda row: row.pod.meta.created or row.of.created,
        "completedAt": lambda row: row.pod.status.finished,
    },
)
"""What pods can be filtered and sorted by."""
