"""Objects to store in contract tests, all of them legal."""

from __future__ import annotations

from migctl.objects import GpuNode, GpuRequest, Meta, Project, Workload, WorkloadSpec, WorkloadType


def workload(name: str = "frac05", project: str = "team-a", finalizers: tuple[str, ...] = ()) -> Workload:
    return Workload(
        meta=Meta(name=name, project=project, finalizers=finalizers, labels={"user": "ana", "tier": "gold"}),
        spec=WorkloadSpec(
            type=WorkloadType.TRAINING,
            gpu_request=GpuRequest(fraction=0.5),
            image="busybox",
            user="ana",
            command=("sleep", "infinity"),
        ),
    )


def project(name: str) -> Project:
    return Project(meta=Meta(name=name))


def node(name: str, finalizers: tuple[str, ...] = ()) -> GpuNode:
    return GpuNode(meta=Meta(name=name, finalizers=finalizers))
